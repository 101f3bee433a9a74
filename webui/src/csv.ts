/** Tables as CSV that spreadsheet programs read as what it is: texts stay texts, whatever they begin with. */

export type Cell = string | number | null;

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
/** With one of these at its beginning, a text is a formula to Excel and its like. */
const FORMULA = /^[\t\r\n]|^\s*[=+\-@＝＋－＠]/;

/** One cell; an apostrophe in front makes a formula a text. */
export function csvCell(cell: Cell): string {
  if (cell === null) return "";
  if (typeof cell === "number" && Number.isFinite(cell)) return String(cell);
  const text = String(cell);
  const safe = FORMULA.test(text) && !NUMBER.test(text) ? `'${text}` : text;
  return /[",;\t\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A header and rows, as RFC 4180 has it. */
export function toCsv(rows: readonly (readonly Cell[])[]): string {
  return rows.map((row) => `${row.map(csvCell).join(",")}\r\n`).join("");
}
