/**
 * How deep JSON is nested.
 *
 * `JSON.parse` takes a microsecond for each level: a megabyte of brackets from a stranger would stop a process for a second.
 * @module
 */

const QUOTE = 34
const OPENING = new Set([91, 123])
const CLOSING = new Set([93, 125])

/** Levels of lists and objects that no message of ours needs. */
const MAX_NESTING = 64

/** Whether a text, if it is JSON, has more levels of lists and objects. Takes the time of one look at the text. */
export function nestsDeeper(text: string, levels = MAX_NESTING): boolean {
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === QUOTE) at = endOfString(text, at)
    else if (OPENING.has(code) && ++depth > levels) return true
    else if (CLOSING.has(code)) depth--
  }
  return false
}

/** Index of the quote that ends the string which begins at one; the text's end if none does. */
export function endOfString(text: string, start: number): number {
  for (let at = start; ; ) {
    at = text.indexOf('"', at + 1)
    if (at === -1) return text.length
    let slashes = 0
    while (text[at - 1 - slashes] === '\\') slashes++
    if (slashes % 2 === 0) return at
  }
}
