// Search in pages opened as files: browsers do not start a worker from file://, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      this.onmessage = null
      this.waiting = []
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.title = "Search"
      document.body.appendChild(frame)
      this.frame = frame.contentWindow
      window.addEventListener("message", event => {
        if (event.source !== this.frame) return
        event.stopImmediatePropagation()
        const message = new MessageEvent("message", { data: event.data })
        this.dispatchEvent(message)
        if (this.onmessage) this.onmessage(message)
      })
      const body = frame.contentDocument
      body.open()
      body.write("<body></body>")
      body.close()
      this.frame.postMessage = data => parent.postMessage(data, "*")
      const script = body.createElement("script")
      script.src = url
      script.onload = () => { this.ready = true; this.waiting.splice(0).forEach(data => this.deliver(data)) }
      body.body.appendChild(script)
    }
    deliver(data) {
      this.frame.dispatchEvent(new MessageEvent("message", { data }))
    }
    postMessage(data) {
      this.ready ? this.deliver(data) : this.waiting.push(data)
    }
    terminate() {
      this.frame.frameElement.remove()
    }
  }
}
