"use strict";
// Lists latents, some dozens at a time; searches and sorts them. The state is in the fragment: #sort=density&q=text.

const PAGE = 40; // latents rendered at once
const { pieces, latents } = JSON.parse(document.getElementById("data").textContent);
const form = document.querySelector("form"), list = document.getElementById("list"), more = document.getElementById("more");
const count = form.querySelector("output");
const KEYS = ["latent", "density", "max", "mean", "cosine"];
latents.forEach((latent, index) => { latent.latent = index; });
let found = [], shown = 0;

function create(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

const escaped = character => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
const visible = text => text.replace(/\n/g, "\u23CE").replace(/\t/g, "\u21E5").replace(/[\u0000-\u001f\u007f-\u009f]/g, escaped);
const number = value => value.toLocaleString("en", { maximumSignificantDigits: 3, useGrouping: false });

// Text that a search looks at, made at the first search.
function searched(latent) {
  latent.text ??= [
    ...latent.passages.map(([tokens]) => tokens.map(token => pieces[token]).join("")),
    ...latent.effects.map(([token]) => pieces[token]),
  ].join("\n").toLowerCase();
  return latent.text;
}

function passage(latent, [tokens, percents, peak, largest]) {
  const item = create("li", {}, create("b", { textContent: number(largest) }));
  tokens.forEach((token, i) => {
    if (!percents[i]) return item.append(visible(pieces[token]));
    const mark = create("mark", { textContent: visible(pieces[token]), title: number(percents[i] / 100 * latent.max) });
    mark.style.backgroundColor = `rgba(var(--shade), ${(0.1 + 0.8 * percents[i] / 100).toFixed(2)})`;
    if (i === peak) mark.className = "peak";
    item.append(mark);
  });
  return item;
}

function effects(pairs) {
  return pairs.flatMap(([token, effect]) => [create("code", { textContent: visible(pieces[token]) }), ` ${number(effect)} `]);
}

function article(latent) {
  const half = latent.effects.length / 2;
  const facts = [`density ${number(latent.density)}`, `largest ${number(latent.max)}`, `mean ${number(latent.mean)}`];
  if (latent.cosine !== undefined) facts.push(`nearest ${number(latent.cosine)}`);
  const near = latent.near.flatMap(([other, cosine]) =>
    [other < latents.length ? create("a", { href: `#q=%23${other}`, textContent: other }) : `${other}`, ` (${number(cosine)}) `]);
  const passages = latent.passages.length ? latent.passages.map(row => passage(latent, row)) :
    [create("li", { className: "soft", textContent: "never active on this text" })];
  return create("article", { id: `latent-${latent.latent}` },
    create("header", {}, create("h2", { textContent: `Latent ${latent.latent}` }),
      ...facts.map(fact => create("span", { textContent: fact }))),
    create("ol", {}, ...passages),
    create("dl", {},
      create("dt", { textContent: "raises" }), create("dd", {}, ...effects(latent.effects.slice(0, half))),
      create("dt", { textContent: "lowers" }), create("dd", {}, ...effects(latent.effects.slice(half))),
      create("dt", { textContent: "near" }), create("dd", {}, ...near)));
}

function showMore() {
  const next = found.slice(shown, shown + PAGE);
  list.append(...next.map(article));
  shown += next.length;
  more.hidden = shown === found.length;
  const digits = value => value.toLocaleString("en");
  count.textContent = `${digits(found.length)} of ${digits(latents.length)} latents` +
    (shown < found.length ? `, the first ${digits(shown)} shown` : "");
}

// A number, or # and a number, is a latent; other text is searched for.
function matches(latent, query) {
  if (/^#?\d+$/.test(query)) return latent.latent === Number(query.replace("#", ""));
  return query === "" || searched(latent).includes(query);
}

function update() {
  const state = new URLSearchParams(location.hash.slice(1));
  const key = KEYS.includes(state.get("sort")) ? state.get("sort") : "latent";
  const query = (state.get("q") ?? ""), direction = state.get("order") === "descending" ? -1 : 1;
  const dead = state.get("dead") === "1", word = query.trim().toLowerCase();
  if (form.q.value !== query) form.q.value = query;
  form.sort.value = key;
  form.descending.checked = direction < 0;
  form.dead.checked = dead;
  found = latents.filter(latent => (dead || latent.density > 0 || /^#?\d+$/.test(word)) && matches(latent, word));
  found.sort((a, b) => direction * ((a[key] ?? -1) - (b[key] ?? -1)) || a.latent - b.latent);
  shown = 0;
  list.replaceChildren();
  showMore();
}

function writeState() {
  const state = new URLSearchParams();
  if (form.q.value) state.set("q", form.q.value);
  if (form.sort.value !== "latent") state.set("sort", form.sort.value);
  if (form.descending.checked) state.set("order", "descending");
  if (form.dead.checked) state.set("dead", "1");
  history.replaceState(null, "", `#${state}`);
  update();
}

form.addEventListener("input", writeState);
form.addEventListener("submit", event => event.preventDefault());
more.addEventListener("click", showMore);
addEventListener("hashchange", () => { if (location.hash !== "#content") update(); });
update();
