// Pictures in a terminal: a half-block character is two pixels, one above the
// other.  Digits are centred in the middle 20 x 20 of their 28 x 28 pixels.
const SIDE = 28, MARGIN = 4, WIDTH = 20, GAP = "  ";
const COLOURS = process.stdout.isTTY && !process.env.NO_COLOR;

const grey = (p) => 232 + Math.round((p * 23) / 255);

function cell(above, below) {
  if (COLOURS) return `\x1b[38;5;${grey(above)}m\x1b[48;5;${grey(below)}m\u2580`;
  return [" ", "\u2584", "\u2580", "\u2588"][(above > 96 ? 2 : 0) + (below > 96 ? 1 : 0)];
}

// The lines of one picture.
export function pictures(pixels) {
  const lines = [];
  for (let y = MARGIN; y < SIDE - MARGIN; y += 2) {
    let line = "";
    for (let x = MARGIN; x < SIDE - MARGIN; x++)
      line += cell(pixels[SIDE * y + x], pixels[SIDE * (y + 1) + x]);
    lines.push(line + (COLOURS ? "\x1b[0m" : ""));
  }
  return lines;
}

export const caption = (text) => text.slice(0, WIDTH).padEnd(WIDTH);

// Pictures with their captions, side by side, as many as the terminal is wide.
export function beside(columns) {
  const fits = Math.max(2, Math.floor(((process.stdout.columns ?? 112) - 2) / (WIDTH + 2)));
  const shown = columns.slice(0, fits);
  const lines = shown[0][0].map((_, row) => shown.map(([picture]) => picture[row]).join(GAP));
  return [...lines, shown.map(([, text]) => text).join(GAP).trimEnd()];
}
