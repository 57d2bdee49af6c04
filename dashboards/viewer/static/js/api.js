// Questions to the viewer's server. Errors carry one line for people.

async function answer(response) {
  let body = null;
  try {
    body = await response.json();
  } catch {
    throw new Error(`the viewer answered with HTTP status ${response.status}`);
  }
  if (!response.ok) throw new Error(body.error ?? `the viewer answered with HTTP status ${response.status}`);
  return body;
}

async function ask(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("the viewer's server cannot be reached");
  }
  return answer(response);
}

export const getJson = (url, signal) => ask(url, { signal });

// [{id, query, start, end, step} or {id, query, time}] to {id: Prometheus' document}.
export async function batch(queries, signal) {
  const body = JSON.stringify({ queries });
  const made = await ask("/api/prom/batch", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body,
    signal,
  });
  return made.results;
}

// The answers to a variable's query: label_values(...), label_names(), metrics(...) or query_result(...).
export async function variableValues(text, range, signal) {
  const ends = { start: String(range.start), end: String(range.end) };
  const values = /^\s*label_values\(\s*(?:(.+?)\s*,\s*)?([a-zA-Z_]\w*)\s*\)\s*$/s.exec(text);
  if (values) {
    const query = new URLSearchParams(ends);
    if (values[1]) query.set("match[]", values[1]);
    return (await getJson(`/api/prom/label/${values[2]}/values?${query}`, signal)).data;
  }
  const result = /^\s*query_result\((.+)\)\s*$/s.exec(text);
  if (result) {
    const query = new URLSearchParams({ query: result[1], time: ends.end });
    const { data } = await getJson(`/api/prom/query?${query}`, signal);
    return data.result.map(({ metric: { __name__: name = "", ...labels }, value }) => {
      const inner = Object.entries(labels).map(([key, one]) => `${key}="${one}"`);
      return `${name}{${inner.join(",")}} ${value[1]} ${value[0] * 1000}`;
    });
  }
  if (/^\s*label_names\(.*\)\s*$/.test(text)) {
    return (await getJson(`/api/prom/labels?${new URLSearchParams(ends)}`, signal)).data;
  }
  const metrics = /^\s*metrics\((.*)\)\s*$/.exec(text);
  if (metrics) {
    const names = (await getJson(`/api/prom/label/__name__/values?${new URLSearchParams(ends)}`, signal))
      .data;
    return names.filter((name) => new RegExp(metrics[1]).test(name));
  }
  throw new Error(`this variable query is not understood: ${text}`);
}

// Says that a finding is right, wrong or known. The header tells the server that this page asks, no other.
export const markIncident = (name, mark) =>
  ask(`/api/incidents/${encodeURIComponent(name)}/mark`, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Gigawatch-Request": "mark" },
    body: JSON.stringify(mark),
  });
