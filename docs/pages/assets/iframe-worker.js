// Search in pages opened as files: browsers start no worker from file://, so its script runs in a hidden frame.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget { // the search script looks for this name
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      frame.title = "Search"
      document.body.appendChild(frame)
      this.frame = frame
      this.waiting = []
      const window = frame.contentWindow
      window.postMessage = data => setTimeout(() => this.dispatchEvent(new MessageEvent("message", { data })))
      const script = window.document.createElement("script")
      script.src = new URL(url, location.href).href
      script.onload = () => {
        this.window = window
        this.waiting.splice(0).forEach(data => this.postMessage(data))
      }
      window.document.body.appendChild(script)
    }
    postMessage(data) {
      if (this.window) this.window.dispatchEvent(new MessageEvent("message", { data }))
      else this.waiting.push(data)
    }
    terminate() {
      this.frame.remove()
    }
  }
  window.Worker = window.IFrameWorker
}
