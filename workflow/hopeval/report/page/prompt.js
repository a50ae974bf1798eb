// Prompts from their skeletons: see skeleton.py, whose marks these are.

const MARKS = /([\ue000-\ue003])/;

// The messages of a request, exactly as they were sent. Without the passages' text, a note stands for each sentence.
export function messagesOf(prompt, shared, passages, question) {
  const sentences = passages.flatMap((passage) =>
    Array.from({ length: passage.length }, (_, i) => ({
      title: passage.title,
      text: passage.sentences ? strip(passage.sentences[i]) : `⟨sentence ${i} of ${passage.title}⟩`,
    })),
  );
  return prompt.map(([role, content]) => {
    if (Array.isArray(content)) return { role, text: content[0] };
    return { role, text: fill(typeof content === "number" ? shared[content] : content, sentences, question) };
  });
}

function fill(marked, sentences, question) {
  let following = 0;
  return marked
    .split(MARKS)
    .map((part) => {
      if (part === "\ue000") return sentences[following++]?.text ?? "";
      if (part === "\ue001") return sentences[following]?.title ?? "";
      if (part === "\ue002") return String(following + 1);
      return part === "\ue003" ? question : part;
    })
    .join("");
}

// What Python's strip() takes away, which is not quite what trim() does.
const BLANK = "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]+";
const ENDS = new RegExp(`^${BLANK}|${BLANK}$`, "g");

function strip(text) {
  return text.replace(ENDS, "");
}
