// Functions that look at a report page; tab.py calls them within a function of their own.
// Those that look for faults return a list of sentences, which is empty for a good page.

const INTERACTIVE = "a[href], button, details > summary:first-of-type, input, select, textarea, " +
  "[tabindex]:not([tabindex='-1']), [contenteditable=true]";

// Open every fold unless `folded`, load every image and font, and wait until the page is drawn.
async function settle(folded) {
  for (const fold of document.querySelectorAll("details")) fold.open ||= !folded;
  for (const image of document.images) image.loading = "eager";
  await Promise.all([...document.images].map((image) => image.decode().catch(() => 0)));
  await document.fonts.ready;
  await new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)));
}

// Name an element by its tag, its class and its first words.
function name(element) {
  const words = (element.innerText ?? element.textContent ?? "").trim().replace(/\s+/g, " ");
  const classes = element.classList.length ? "." + [...element.classList].join(".") : "";
  return `<${element.localName}${classes}> ${JSON.stringify(words.slice(0, 40))}`;
}

function isVisible(element) {
  const box = element.getBoundingClientRect();
  return element.checkVisibility({ visibilityProperty: true }) && box.width > 1 && box.height > 1;
}

function* ancestors(element) {
  for (let at = element; at; at = at.parentElement) yield at;
}

// Yield [element, text] for each text that a reader sees, also of ::before and ::after.
function* visibleTexts() {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (element.closest("script, style, template, title, desc, noscript")) continue;
    if (node.data.trim() && element.checkVisibility({ visibilityProperty: true })) {
      yield [element, node.data];
    }
  }
  for (const element of document.body.querySelectorAll("*")) {
    for (const pseudo of ["::before", "::after", "::marker"]) {
      const content = getComputedStyle(element, pseudo).content;
      if (content.startsWith('"') && isVisible(element)) yield [element, content.slice(1, -1)];
    }
  }
}

// Find text and figures that the window cuts off or that make the whole page scroll sideways.
function findOverflow(width) {
  const root = document.scrollingElement;
  const faults = [];
  if (innerWidth !== width) faults.push(`the page is ${innerWidth} px wide: no meta viewport?`);
  if (root.scrollWidth > width) faults.push(`the page scrolls sideways: ${root.scrollWidth} px`);
  const scrolls = (at) => at !== root && /auto|scroll/.test(getComputedStyle(at).overflowX);
  for (const element of document.body.querySelectorAll("*")) {
    const right = element.getBoundingClientRect().right + scrollX;
    if (right <= width + 1 || !isVisible(element) || element.ownerSVGElement) continue;
    if ([...ancestors(element.parentElement)].some(scrolls)) continue;
    faults.push(`${name(element)} ends at ${Math.round(right)} px of ${width}`);
  }
  return faults.slice(0, 8);
}

// Find characters that the page's fonts do not have, each with the fonts that were tried.
async function findMissingGlyphs() {
  const wanted = new Map();
  const segmenter = new Intl.Segmenter("en", { granularity: "grapheme" });
  for (const [element, text] of visibleTexts()) {
    const style = getComputedStyle(element);
    const font = `${style.fontStyle} ${style.fontWeight} 24px ${style.fontFamily}`;
    if (!wanted.has(font)) wanted.set(font, new Set());
    const shown = style.textTransform === "uppercase" ? text.toUpperCase() : text;
    for (const { segment } of segmenter.segment(shown)) wanted.get(font).add(segment);
  }
  const pen = new OffscreenCanvas(72, 48).getContext("2d", { willReadFrequently: true });
  const draw = (text) => {
    pen.clearRect(0, 0, 72, 48);
    pen.fillText(text, 8, 34);
    return pen.getImageData(0, 0, 72, 48).data.filter((_, at) => at % 4 === 3).join();
  };
  const faults = [];
  for (const [font, characters] of wanted) {
    const drawn = [...characters].filter((c) => !/^[\s\p{Cc}\p{Z}\p{DI}\u2800]*$/u.test(c));
    await document.fonts.load(font, drawn.join(""));
    pen.font = font;
    const [tofu, nothing] = [draw("\u{10FFFE}"), draw(" ")];
    const missing = drawn.filter((c) => [tofu, nothing].includes(draw(c)));
    if (missing.length) faults.push(`no glyph for ${missing.slice(0, 40).join(" ")} in ${font}`);
  }
  for (const image of document.images) {
    const [kind, content] = image.src.split(/,(.*)/s);
    if (!kind.startsWith("data:image/svg")) continue;
    const source = kind.endsWith(";base64") ? atob(content) : decodeURIComponent(content);
    if (source.includes("<text")) faults.push(`<img> ${image.alt.slice(0, 60)} is drawn with the reader's fonts`);
  }
  return faults;
}

// Return the box of the content of each figure, in pixels of the page, and its faults.
function readFigures() {
  const figures = [...document.querySelectorAll("img, canvas, svg")].filter(
    (figure) => !figure.parentElement.closest("svg") && isVisible(figure)
  );
  const px = (style, side) =>
    parseFloat(style[`padding${side}`]) + parseFloat(style[`border${side}Width`]);
  return figures.map((figure) => {
    const box = figure.getBoundingClientRect();
    const style = getComputedStyle(figure);
    const [top, left] = [px(style, "Top"), px(style, "Left")];
    const label = figure.getAttribute("alt") ?? figure.getAttribute("aria-label") ??
      figure.querySelector(":scope > title")?.textContent ?? "";
    return {
      x: box.left + scrollX + left,
      y: box.top + scrollY + top,
      width: box.width - left - px(style, "Right"),
      height: box.height - top - px(style, "Bottom"),
      name: `<${figure.localName}> ${label.slice(0, 60)}`,
      label: label.trim(),
      hidden: figure.closest("[aria-hidden=true]") !== null,
      broken: figure.localName === "img" && !figure.naturalWidth,
    };
  });
}

// Remember the visible interactive elements and the style of each before it has the focus.
function watchFocus() {
  const look = (element) => {
    const style = getComputedStyle(element);
    const names = ["outlineStyle", "outlineWidth", "boxShadow", "backgroundColor", "borderColor"];
    return names.map((key) => style[key]).join();
  };
  const watched = (globalThis.ablabWatched = new Map());
  for (const element of document.querySelectorAll(INTERACTIVE)) {
    if (isVisible(element) && !element.matches(":disabled")) {
      watched.set(element, { reached: false, shown: false, before: look(element) });
    }
  }
  document.activeElement?.blur();
  document.addEventListener("focusin", ({ target }) => {
    const state = watched.get(target);
    if (!state) return;
    state.reached = true;
    state.shown = look(target) !== state.before;
  });
  return watched.size;
}

function countUnreached() {
  return [...ablabWatched.values()].filter((state) => !state.reached).length;
}

// Find elements that the Tab key does not reach, and those that do not show that they have focus.
function findUnreached() {
  const [faults, watched] = [[], ablabWatched];
  for (const [element, state] of watched) {
    if (!state.reached) faults.push(`the Tab key does not reach ${name(element)}`);
    else if (!state.shown) faults.push(`focus is not seen on ${name(element)}`);
  }
  for (const element of document.body.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const parent = getComputedStyle(element.parentElement);
    const pointed = style.cursor === "pointer" && parent.cursor !== "pointer";
    if (!isVisible(element) || !(pointed || getEventListeners(element).click)) continue;
    if ([...ancestors(element)].some((at) => watched.has(at)) || element.control) continue;
    if ([...element.querySelectorAll(INTERACTIVE)].some((below) => watched.has(below))) continue;
    faults.push(`a mouse can use ${name(element)}, the keyboard cannot`);
  }
  return faults.slice(0, 8);
}

// Press every button, as a reader would, and return their number.
function pressButtons() {
  const buttons = [...document.querySelectorAll("button:enabled")].filter(isVisible);
  for (const button of buttons) button.click();
  return buttons.length;
}

// Scroll a figure into the window and return points across it.
function pointsOf(number) {
  const figure = [...document.querySelectorAll("figure, svg, canvas")][number];
  if (!figure) return null;
  figure.scrollIntoView({ block: "center" });
  const box = figure.getBoundingClientRect();
  return [0.2, 0.4, 0.6, 0.8].map((share) => [
    box.left + box.width * share,
    Math.min(Math.max(box.top + box.height / 2, 1), innerHeight - 2),
  ]);
}

const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

// Return [red, green, blue, alpha] of any colour of CSS.
function rgba(colour) {
  pixel.clearRect(0, 0, 1, 1);
  pixel.fillStyle = colour;
  pixel.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = pixel.getImageData(0, 0, 1, 1).data;
  return [red, green, blue, alpha / 255];
}

function over(front, back) {
  return [0, 1, 2].map((i) => front[i] * front[3] + back[i] * (1 - front[3])).concat(1);
}

// Return the colour behind an element, or null where an image or a gradient is.
function backgroundOf(element) {
  const layers = [];
  for (const at of ancestors(element)) {
    const style = getComputedStyle(at);
    if (style.backgroundImage !== "none") return null;
    layers.push(rgba(style.backgroundColor));
    if (layers.at(-1)[3] === 1) break;
  }
  return layers.reduceRight((back, front) => over(front, back), rgba("Canvas"));
}

function luminance(colour) {
  const linear = colour.slice(0, 3).map((value) => {
    const share = value / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

// Find text whose contrast is below 4.5 (WCAG 2.2 AA), or below 3 if it is large.
function findLowContrast() {
  const faults = new Map();
  for (const [element] of visibleTexts()) {
    if (element.closest("svg, :disabled") || !isVisible(element)) continue;
    const style = getComputedStyle(element);
    const back = backgroundOf(element);
    if (!back) continue;
    const ink = rgba(style.color);
    for (const at of ancestors(element)) ink[3] *= parseFloat(getComputedStyle(at).opacity);
    const [high, low] = [luminance(over(ink, back)), luminance(back)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if (ratio >= (large ? 3 : 4.5)) continue;
    const key = `${style.color} ${back.map(Math.round)}`;
    if (!faults.has(key)) faults.set(key, `contrast ${ratio.toFixed(2)} of ${name(element)}`);
  }
  return [...faults.values()].slice(0, 8);
}
