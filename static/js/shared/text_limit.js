/** Texts are counted in code points, as the server does: "é" and an emoji are one each. */
export const TEXT_LIMIT = 4000;

export function codePoints(text) {
  let count = 0;
  for (const _ of text) count += 1;
  return count;
}

/** What can be sent: no trailing blanks, no NUL, no half of a surrogate pair (the server refuses those). */
export function sendable(text) {
  const whole = text.replaceAll("\u0000", "").replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd");
  return whole.trim();
}
