/**
 * Tables for spreadsheets: CSV (RFC 4180) in UTF-8 with a byte order mark, without which Excel reads another encoding.
 * @module
 */

/** What a spreadsheet takes for a formula, or reads as if it were not there (OWASP, "CSV Injection"). */
const FORMULA = /^[\s\p{Cf}]*[=+\-@\t\r＝＋－＠]/u

/** Writes rows; a text that would be a formula begins with an apostrophe then. Decimal numbers stay as they are. */
export function writeCsv(rows: readonly (readonly string[])[]): string {
  return `\uFEFF${rows.map((row) => `${row.map(cell).join(',')}\r\n`).join('')}`
}

function cell(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text)) return text
  return `"${(FORMULA.test(text) ? `'${text}` : text).replaceAll('"', '""')}"`
}
