"use strict";
(() => {
  const PAGE = 100, data = JSON.parse(document.getElementById("data").textContent);
  const rating = JSON.parse(document.getElementById("rating").textContent);
  const body = document.querySelector("#table tbody"), head = document.querySelector("#table thead tr");
  const store = "qsmengine ratings " + location.pathname;
  const rank = {green: 0, amber: 1, red: 2}, letter = {g: "green", a: "amber", r: "red"};
  const state = {sort: null, down: false, page: 0, rows: data.rows};
  let verdicts = {};
  try { verdicts = JSON.parse(localStorage.getItem(store)) || {}; } catch { verdicts = {}; }

  const element = (name, text, style) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (style) made.className = style;
    return made;
  };
  const shown = value => value === null ? "-" :
    String(Math.abs(value) < 1000 ? Number(value.toPrecision(3)) : Math.round(value));
  const duration = s => !s ? "" : s < 10 ? s.toFixed(1) + " s" : s < 60 ? Math.round(s) + " s" :
    s < 3600 ? Math.floor(s / 60) + " min " + Math.floor(s % 60) + " s" :
    Math.floor(s / 3600) + " h " + Math.floor(s % 3600 / 60) + " min";
  const memory = n => !n ? "" : n >= 2 ** 30 ? (n / 2 ** 30).toFixed(1) + " GiB" : Math.round(n / 2 ** 20) + " MiB";
  const lamp = name => name ? element("span", {green: "\u2713 ", amber: "\u25b2 ", red: "\u2717 "}[name] + name,
    "light " + name) : element("span", "not measured", "quiet");

  const save = () => { try { localStorage.setItem(store, JSON.stringify(verdicts)); } catch { /* private window */ } tell(); };
  const rate = (key, name, value) => {
    const own = verdicts[key] || {verdict: "", comment: ""};
    own[name] = value;
    if (own.verdict) verdicts[key] = own; else delete verdicts[key];
    save();
  };
  const tell = () => {
    const count = Object.keys(verdicts).length;
    document.getElementById("rated").textContent = count + (count === 1 ? " session rated" : " sessions rated");
  };
  const verdictCell = key => {
    const cell = element("td"), choice = element("select"), note = element("input");
    choice.setAttribute("aria-label", "verdict of " + key);
    for (const name of ["", ...rating.verdicts]) choice.append(new Option(name || "not rated", name));
    const own = verdicts[key];
    choice.value = own ? own.verdict : "";
    note.value = own ? own.comment : "";
    note.setAttribute("aria-label", "comment on " + key);
    note.placeholder = "comment";
    note.hidden = !own;
    choice.addEventListener("change", () => { rate(key, "verdict", choice.value); note.hidden = !choice.value; });
    note.addEventListener("input", () => rate(key, "comment", note.value));
    cell.append(choice, note);
    return cell;
  };
  const line = row => {
    const [key, status, light, reasons, outliers, distance, where, seconds, bytes, values, lights] = row;
    const made = element("tr"), link = element("a", key), name = element("td"), lit = element("td");
    link.href = encodeURIComponent(key) + ".html";
    name.append(link);
    lit.append(lamp(light));
    const text = element("td", reasons, "text lines");
    const far = element("td", outliers ? String(outliers) : "", "number");
    if (outliers) far.title = (distance > 0 ? "+" : "") + distance + " deviations: " + where;
    made.append(name, verdictCell(key), element("td", status, status), lit, text, far);
    values.forEach((value, k) => made.append(element("td", shown(value), "number " + (letter[lights[k]] || ""))));
    made.append(element("td", duration(seconds), "number"), element("td", memory(bytes), "number"));
    return made;
  };
  const keyOf = index => row => {
    if (index === 0) return row[0];
    if (index === 1) return (verdicts[row[0]] || {verdict: ""}).verdict;
    if (index === 2) return row[1];
    if (index === 3) return row[2] in rank ? rank[row[2]] : null;
    if (index === 4) return row[3];
    if (index === 5) return row[4];
    const k = index - 6;
    return k < data.columns.length ? row[9][k] : row[k === data.columns.length ? 7 : 8];
  };
  const filtered = () => {
    const words = document.getElementById("words").value.toLowerCase(), light = document.getElementById("light").value;
    const wanted = document.getElementById("verdict").value;
    return data.rows.filter(row => (!light || (row[2] || "none") === light) &&
      (!wanted || (verdicts[row[0]] || {verdict: "none"}).verdict === wanted) &&
      (!words || (row[0] + " " + row[1] + " " + row[3]).toLowerCase().includes(words)));
  };
  const show = () => {
    const pages = Math.max(1, Math.ceil(state.rows.length / PAGE));
    state.page = Math.min(Math.max(state.page, 0), pages - 1);
    const first = state.page * PAGE, part = state.rows.slice(first, first + PAGE);
    body.replaceChildren(...part.map(line));
    document.getElementById("place").textContent = part.length ?
      (first + 1) + " to " + (first + part.length) + " of " + state.rows.length : "no session";
    document.getElementById("back").disabled = state.page === 0;
    document.getElementById("next").disabled = state.page === pages - 1;
  };
  const arrange = () => {
    state.rows = filtered();
    if (state.sort !== null) {
      const key = keyOf(state.sort), turn = state.down ? -1 : 1;
      const decorated = state.rows.map(row => [key(row), row]);
      decorated.sort(([a], [b]) => a === b ? 0 : a === null ? 1 : b === null ? -1 : (a < b ? -turn : turn));
      state.rows = decorated.map(([, row]) => row);
    }
    state.page = 0;
    show();
  };
  const sortBy = index => {
    state.down = state.sort === index ? !state.down : false;
    state.sort = index;
    [...head.children].forEach((cell, k) => {
      if (k === index) cell.setAttribute("aria-sort", state.down ? "descending" : "ascending");
      else cell.removeAttribute("aria-sort");
    });
    arrange();
  };

  const cell = text => "=+-@\t\r".includes(text[0]) ? "'" + text : text;
  const table = () => [rating.columns, ...Object.keys(verdicts).sort().map(key => {
    const [participant, session] = key.split("_ses-"), {verdict, comment} = verdicts[key];
    return [participant, session ? "ses-" + session : "n/a", verdict,
      cell(comment.replace(/[\t\r\n"]+/g, " ").trim()) || "n/a"];
  })].map(row => row.join("\t") + "\n").join("");
  const download = () => {
    const link = element("a"), url = URL.createObjectURL(new Blob([table()], {type: "text/tab-separated-values"}));
    link.href = url;
    link.download = "ratings.tsv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  };
  const load = async file => {
    const [names, ...rows] = (await file.text()).trim().split(/\r?\n/).map(text => text.split("\t"));
    const place = name => names.indexOf(name);
    if (rating.columns.slice(0, 3).some(name => place(name) < 0)) {
      document.getElementById("rated").textContent = file.name + " is not a table of ratings";
      return;
    }
    for (const row of rows) {
      const session = row[place("session_id")], verdict = row[place("verdict")], comment = row[place("comment")] || "";
      if (!rating.verdicts.includes(verdict)) continue;
      const key = row[place("participant_id")] + (session && session !== "n/a" ? "_" + session : "");
      verdicts[key] = {verdict, comment: comment === "n/a" ? "" : comment.replace(/^'(?=[=+\-@])/, "")};
    }
    save();
    arrange();
  };

  [...head.children].forEach((cell, index) => {
    const button = element("button", cell.textContent);
    button.addEventListener("click", () => sortBy(index));
    cell.replaceChildren(button);
  });
  for (const name of ["words", "light", "verdict"]) document.getElementById(name).addEventListener("input", arrange);
  document.getElementById("back").addEventListener("click", () => { state.page -= 1; show(); });
  document.getElementById("next").addEventListener("click", () => { state.page += 1; show(); });
  document.getElementById("save").addEventListener("click", download);
  document.getElementById("load").addEventListener("change", event => { if (event.target.files[0]) load(event.target.files[0]); });
  document.documentElement.classList.add("scripted");
  tell();
  arrange();
})();
