const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
export const escapeHtml = (text: string): string => text.replace(/[&<>"']/g, (character) => entities[character] as string);

/** Markup that is safe already; everything else that goes into a page is escaped. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}
type Piece = Markup | string | number | null | undefined | false | readonly Piece[];

const render = (piece: Piece): string => {
  if (piece === null || piece === undefined || piece === false) return "";
  if (piece instanceof Markup) return piece.text;
  if (Array.isArray(piece)) return (piece as readonly Piece[]).map(render).join("");
  return escapeHtml(String(piece));
};

/** html`<p>${text}</p>`: interpolated text is escaped, markup and lists of markup are kept. */
export const html = (strings: TemplateStringsArray, ...pieces: readonly Piece[]): Markup =>
  new Markup(strings.reduce((page, string, i) => page + string + (i < pieces.length ? render(pieces[i] as Piece) : ""), ""));

/** A table from texts; the first row is the heading. `marked` rows are set off. */
export function tableOf(
  rows: readonly (readonly Piece[])[],
  options: { readonly marked?: ReadonlySet<number>; readonly numeric?: ReadonlySet<number> } = {},
): Markup {
  const [head = [], ...body] = rows;
  const cell = (tag: "th" | "td", piece: Piece, column: number): Markup =>
    new Markup(`<${tag}${options.numeric?.has(column) ? ' class="n"' : ""}>${render(piece)}</${tag}>`);
  return html`<div class="scroll"><table><thead><tr>${head.map((piece, i) => cell("th", piece, i))}</tr></thead><tbody>${body.map(
    (row, r) =>
      html`<tr${new Markup(options.marked?.has(r) ? ' class="marked"' : "")}>${row.map((piece, i) => cell("td", piece, i))}</tr>`,
  )}</tbody></table></div>`;
}
