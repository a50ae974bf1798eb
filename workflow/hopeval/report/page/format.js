// Numbers as people read them. What is not known is a dash, never NaN.

export const DASH = "–";

const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

// One decimal of a percentage, of a share from 0 to 1.
export const percent = (share) => (isNumber(share) ? decimal(share) : DASH);

export const points = (share) => (isNumber(share) ? `${share >= 0 ? "+" : "−"}${decimal(Math.abs(share))}` : DASH);

// Halves go to the even digit, as in the leaderboard and everywhere in Python: 81.25 is 81.2 on every page.
// Of the numbers that lie exactly between two, those that end in .25 are what toFixed rounds otherwise.
function decimal(share) {
  const hundredths = 100 * share;
  return (4 * hundredths) % 4 === 1 ? `${Math.floor(hundredths)}.2` : hundredths.toFixed(1);
}

export const interval = (low, high, format = percent, between = DASH) =>
  isNumber(low) && isNumber(high) ? `${format(low)}${between}${format(high)}` : "";

export const count = (number) => (isNumber(number) ? number.toLocaleString("en") : DASH);

export function pValue(p) {
  if (!isNumber(p)) return DASH;
  return p < 0.001 ? "< 0.001" : p.toFixed(3);
}

export function seconds(value) {
  if (!isNumber(value)) return DASH;
  const whole = Math.round(value);
  const minutes = Math.round(whole / 60);
  if (whole >= 3600) return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
  if (whole >= 100) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

export const clock = (at) => new Date(1000 * at).toISOString().slice(0, 19).replace("T", " ");

export const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
