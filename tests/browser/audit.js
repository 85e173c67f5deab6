// Problems of a page that a reader would have, as text: width, colours, names of images, headings, tables.
() => {
  const problems = [];
  const root = document.documentElement;
  const extra = root.scrollWidth - window.innerWidth;
  if (extra > 0) problems.push(`the page is ${extra} pixels wider than the window`);
  if (!root.lang) problems.push("no language");
  if (!document.title) problems.push("no title");

  const shown = element => element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
  const name = element => {
    const text = (element.textContent || element.getAttribute("src") || "").trim().slice(0, 40);
    return `<${element.tagName.toLowerCase()} class="${element.getAttribute("class") || ""}"> ${text}`;
  };

  for (const image of document.querySelectorAll("img, svg[role=img]")) {
    const text = image.getAttribute("alt") ?? image.getAttribute("aria-label") ?? "";
    if (shown(image) && text.trim().length < 10) problems.push(`no alternative text: ${name(image)}`);
  }

  const levels = [...document.querySelectorAll("h1, h2, h3, h4, h5, h6")].filter(shown).map(head => +head.tagName[1]);
  if (levels.filter(level => level === 1).length !== 1 || levels[0] !== 1) problems.push(`headings begin ${levels.slice(0, 3)}`);
  levels.forEach((level, i) => { if (i && level > levels[i - 1] + 1) problems.push(`h${level} after h${levels[i - 1]}`); });

  for (const control of document.querySelectorAll("a[href], button, input, select, textarea, summary")) {
    const text = (control.textContent.trim() || control.ariaLabel || control.title || control.placeholder || "").trim();
    const labelled = text || control.labels?.length || control.querySelector("img[alt]") || control.getAttribute("aria-labelledby");
    if (shown(control) && control.type !== "hidden" && !labelled) problems.push(`no name: ${name(control)}`);
  }

  const parse = text => {
    const numbers = (text.match(/-?[\d.]+(?:e-?\d+)?/g) || []).map(Number);
    const scale = text.startsWith("color(") ? 255 : 1;
    return { rgb: numbers.slice(0, 3).map(value => value * scale), alpha: numbers.length > 3 ? numbers[3] : 1 };
  };
  const over = (front, back) => front.rgb.map((value, i) => front.alpha * value + (1 - front.alpha) * back[i]);
  const luminance = rgb => {
    const linear = rgb.map(value => value / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const canvas = getComputedStyle(root).colorScheme.includes("dark") && dark ? [18, 18, 18] : [255, 255, 255];
  const background = element => {
    const layers = [];
    for (let node = element; node; node = node.parentElement) {
      const layer = parse(getComputedStyle(node).backgroundColor);
      layers.push(layer);
      if (layer.alpha === 1) break;
    }
    return layers.reverse().reduce((back, layer) => over(layer, back), canvas);
  };

  const low = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const box = element.getBoundingClientRect();
    if (!node.data.trim() || !shown(element) || box.width < 2 || box.right < 0) continue;
    if (element.closest("script, style, title, [aria-hidden=true], [disabled]")) continue;
    const style = getComputedStyle(element);
    const color = parse(element.namespaceURI.endsWith("svg") ? style.fill : style.color);
    const back = background(element);
    const [bright, dim] = [luminance(over(color, back)), luminance(back)].sort((a, b) => b - a);
    const ratio = (bright + 0.05) / (dim + 0.05);
    const size = parseFloat(style.fontSize), large = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700);
    if (ratio < (large ? 3 : 4.5)) {
      low.set(`contrast ${ratio.toFixed(2)} of ${style.color} on rgb(${back.map(Math.round)}): ${name(element)}`, true);
    }
  }
  return [...problems, ...[...low.keys()].slice(0, 20)];
}
