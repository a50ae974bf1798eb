// The page's data: the summary at once, everything else unpacked when it is needed.

export const summary = JSON.parse(document.getElementById("summary").textContent);

const KEPT = 40; // blocks of questions and passages that stay unpacked
const unpacked = new Map();

// The elements that hold the data come last in the page, so that the first view need not wait for them.
const whole = new Promise((resolve) => {
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", resolve, { once: true });
  else resolve();
});

async function unpack(name) {
  await whole;
  const element = document.getElementById(name);
  if (!element) return [];
  const bytes = Uint8Array.from(atob(element.textContent), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Response(stream).json();
}

// A block by its name; the promise is kept, so that nothing is unpacked twice at a time.
function block(name) {
  if (!unpacked.has(name)) {
    if (unpacked.size >= KEPT) unpacked.delete([...unpacked.keys()].find((key) => /\d$/.test(key)));
    unpacked.set(name, unpack(name));
  }
  return unpacked.get(name);
}

let columns = null;

// The index of all questions; `haystack` is what a search looks through, in lower case.
export async function index() {
  if (!columns) {
    const found = await block("index");
    found.haystack = found.text.map((text, i) =>
      [found.id[i], text, found.gold[i] ?? "", ...found.experiments.map((experiment) => experiment.answer[i])].join("\n").toLowerCase(),
    );
    found.place = new Map(found.id.map((id, i) => [id, i]));
    columns = found;
  }
  return columns;
}

export const comparisons = () => block("comparisons");

export async function details(number) {
  const size = summary.questions_per_block;
  return (await block(`q${Math.floor(number / size)}`))[number % size];
}

// A passage by its number: its title and its sentences, or how many they are.
export async function passage(number) {
  const size = summary.passages_per_block;
  const [title, sentences] = (await block(`p${Math.floor(number / size)}`))[number % size];
  return { title, sentences: Array.isArray(sentences) ? sentences : null, length: Array.isArray(sentences) ? sentences.length : sentences };
}

export const sharedTexts = () => block("texts0");

export const experimentNumber = (name) => {
  const found = summary.experiments.findIndex((experiment) => experiment.name === name);
  return found < 0 ? 0 : found;
};
