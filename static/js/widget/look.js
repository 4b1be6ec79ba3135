const READABLE = 4.5;
// The bubbles of widget.css: what can be read on them can be read on the page too.
const LIGHT_SURFACE = [241, 242, 244];
const DARK_SURFACE = [38, 42, 48];
const WHITE = [255, 255, 255];

/**
 * Sets the widget's colour and that of the customer's own lines, the text on them, and shades of the first that stay readable
 * in light and in dark.
 */
export function applyLook(color, lineColor, root = document.documentElement) {
  const accent = parse(color);
  if (!accent) return;
  root.style.setProperty("--accent", css(accent));
  root.style.setProperty("--on-accent", inkOn(accent));
  root.style.setProperty("--accent-on-light", css(towards(accent, [0, 0, 0], LIGHT_SURFACE)));
  root.style.setProperty("--accent-on-dark", css(towards(accent, [255, 255, 255], DARK_SURFACE)));
  const own = parse(lineColor) || accent;
  root.style.setProperty("--own", css(own));
  root.style.setProperty("--on-own", inkOn(own));
}

// Of black and white at least one can be read on any colour.
function inkOn(color) {
  return contrast(color, WHITE) >= READABLE ? "#fff" : "#000";
}

export function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

// Mixes the colour with the target until it can be read on the surface.
function towards(color, target, surface) {
  for (let share = 0; share <= 1; share += 0.05) {
    const mixed = color.map((part, index) => Math.round(part + (target[index] - part) * share));
    if (contrast(mixed, surface) >= READABLE) return mixed;
  }
  return target;
}

function luminance(rgb) {
  const [r, g, b] = rgb.map((part) => (part <= 10 ? part / 3294 : ((part / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function parse(color) {
  const pairs = /^#[\da-f]{6}$/i.test(color ?? "") && color.match(/\w\w/g);
  return pairs && pairs.map((pair) => parseInt(pair, 16));
}

function css(rgb) {
  return `rgb(${rgb.join(" ")})`;
}
