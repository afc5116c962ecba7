"use strict";

const $ = (id) => document.getElementById(id);
const state = { language: "en", about: null, file: null, answer: null, problem: null, shown: null, asked: 0 };

function words() { return WORDS[state.language]; }

function remembered(store, name) {
  try { return store.getItem(name); } catch { return null; }  // storage can be forbidden
}

function remember(store, name, value) {
  try { store.setItem(name, value); } catch { /* then only until the page is closed */ }
}

function chooseLanguage(language) {
  state.language = language;
  document.documentElement.lang = language;
  for (const place of document.querySelectorAll("[data-words]")) place.textContent = words()[place.dataset.words];
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  $("picture").alt = words().picture;
  $("map").alt = words().mapped;
  showAbout();
  if (state.answer) showAnswer(state.answer);
  if (state.problem !== null) showProblem(state.problem);
}

function showAbout() {
  const about = state.about;
  if (!about) return;
  $("model").textContent = about.model;
  document.title = `${about.model} · effnet`;
  $("about").textContent = words().about(about.size, about.classes);
}

function show(name) {
  for (const part of ["waiting", "busy", "problem", "token", "answer"]) $(part).hidden = part !== name;
}

function percent(share) {
  const digits = share >= 0.1 || share === 0 ? 1 : share >= 0.001 ? 2 : 3;
  return (100 * share).toLocaleString(state.language, { minimumFractionDigits: 1, maximumFractionDigits: digits }) + " %";
}

function bar(score) {
  const item = document.createElement("li");
  const line = document.createElement("div");
  line.className = "line";
  const label = document.createElement("span");
  label.textContent = score.label;
  const value = document.createElement("span");
  value.textContent = percent(score.probability);
  line.append(label, value);
  const track = document.createElement("div");
  track.className = "track";
  const fill = document.createElement("div");
  fill.className = "fill";
  fill.style.width = `${100 * score.probability}%`;
  track.append(fill);
  item.append(line, track);
  return item;
}

function showAnswer(answer) {
  const best = answer.predictions[0];
  $("best").textContent = best.label;
  $("share").textContent = percent(best.probability);
  $("bars").replaceChildren(...answer.predictions.map(bar));
  $("timing").textContent = words().timing(answer.timing_ms);
  show("answer");
}

function showProblem(status) {
  state.problem = status;
  const [what, fix] = words().problems[status] || words().problems[500];
  $("what").textContent = what;
  $("fix").textContent = fix;
  $("again").hidden = !state.file || [413, 415, 422].includes(status);
  show("problem");
  if (status === 401) $("token").hidden = false;
}

function headers(file) {
  const known = /^image\/(jpeg|png|webp|bmp|gif|tiff)$/.test(file.type);
  const all = { "Content-Type": known ? file.type : "application/octet-stream" };
  const token = remembered(sessionStorage, "token");
  if (token) all["Authorization"] = `Bearer ${token}`;
  return all;
}

async function send(path, file) {
  try {
    return await fetch(path, { method: "POST", headers: headers(file), body: file });
  } catch {
    return null;
  }
}

async function look(file) {
  const asked = ++state.asked;
  Object.assign(state, { file, answer: null, problem: null });
  if (state.shown) URL.revokeObjectURL(state.shown);
  state.shown = URL.createObjectURL(file);
  $("picture").src = state.shown;
  $("shown").hidden = false;
  $("drop").classList.add("filled");
  hideMap();
  $("where").hidden = true;
  if (state.about && file.size > state.about.max_bytes) return showProblem(413);
  show("busy");
  const response = await send("predict?top=5", file);
  if (asked !== state.asked) return undefined;  // another picture came meanwhile
  if (!response || !response.ok) return showProblem(response ? response.status : 0);
  state.answer = await response.json();
  showAnswer(state.answer);
  $("where").hidden = !(state.about && state.about.explains);
  return undefined;
}

function hideMap() {
  $("map").hidden = true;
  $("picture").hidden = false;
  if ($("map").src) URL.revokeObjectURL($("map").src);
  $("map").removeAttribute("src");
  $("where").setAttribute("aria-pressed", "false");
}

async function toggleMap() {
  if (!$("map").hidden) return hideMap();
  const asked = state.asked;
  $("where").disabled = true;
  const response = await send(`explain?class=${state.answer.predictions[0].index}`, state.file);
  $("where").disabled = false;
  if (asked !== state.asked) return undefined;
  if (!response || !response.ok) return showProblem(response ? response.status : 0);
  $("map").src = URL.createObjectURL(await response.blob());
  $("map").hidden = false;
  $("picture").hidden = true;
  $("where").setAttribute("aria-pressed", "true");
  return undefined;
}

function take(files) {
  const file = [...files].find((one) => one.type.startsWith("image/")) || files[0];
  if (file) look(file);
}

function listen() {
  for (const button of document.querySelectorAll("[data-language]"))
    button.addEventListener("click", () => {
      remember(localStorage, "language", button.dataset.language);
      chooseLanguage(button.dataset.language);
    });
  for (const id of ["file", "camera"])
    $(id).addEventListener("change", (event) => { take(event.target.files); event.target.value = ""; });
  document.addEventListener("paste", (event) => take(event.clipboardData.files));
  document.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    take(event.dataTransfer.files);
  });
  $("again").addEventListener("click", () => look(state.file));
  $("where").addEventListener("click", toggleMap);
  $("token").addEventListener("submit", (event) => {
    event.preventDefault();
    remember(sessionStorage, "token", $("secret").value.trim());
    $("secret").value = "";
    if (state.file) look(state.file); else show("waiting");
  });
}

async function begin() {
  const wanted = remembered(localStorage, "language");
  const preferred = navigator.language.toLowerCase().startsWith("ko") ? "ko" : "en";
  chooseLanguage(wanted in WORDS ? wanted : preferred);
  listen();
  const root = location.href.replace(/[?#].*$/, "").replace(/\/$/, "");
  const response = await fetch("about").catch(() => null);
  if (!response || !response.ok) return showProblem(response ? response.status : 0);
  state.about = await response.json();
  const token = state.about.token ? ' -H "Authorization: Bearer $TOKEN"' : "";
  $("curl").textContent = `curl${token} -H "Content-Type: image/jpeg" --data-binary @photo.jpg "${root}/predict?top=5"`;
  showAbout();
  if (state.about.token && !remembered(sessionStorage, "token")) $("token").hidden = false;
  document.documentElement.dataset.ready = "yes";
  return undefined;
}

begin();
