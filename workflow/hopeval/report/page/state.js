// Where we are, as the address has it: #v=view, or #q=question&e=experiment, with filters behind.

export const VIEWS = ["leaderboard", "compare", "failures", "running", "questions", "making"];

export function current() {
  const values = Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
  const view = values.q !== undefined ? "question" : VIEWS.includes(values.v) ? values.v : "leaderboard";
  return { ...values, v: view };
}

// The address of a state; what is empty is left out.
export function address(state) {
  const values = { ...state };
  if (values.q !== undefined) delete values.v;
  const kept = Object.entries(values).filter(([, value]) => value !== undefined && value !== null && value !== "");
  return `#${new URLSearchParams(kept)}`;
}

export function go(state) {
  location.hash = address(state);
}

// The same place with another filter: nothing that one would go back to.
export function replace(state) {
  history.replaceState(null, "", address(state));
}
