"use strict";
(function () {
  var root = document.documentElement;
  var all = function (query, under) { return Array.prototype.slice.call((under || document).querySelectorAll(query)); };
  var by = function (id) { return document.getElementById(id); };

  by("theme").addEventListener("click", function () {
    var dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("pellucid-theme", root.dataset.theme); } catch (e) { /* not kept */ }
  });

  // Tables are sorted by a heading; numbers first fall, names first rise; what has no number stays last.
  function sortable(table) {
    var headings = all("thead th", table);
    var body = table.tBodies[0];
    headings.forEach(function (heading, column) {
      var button = document.createElement("button");
      button.type = "button";
      while (heading.firstChild) button.appendChild(heading.firstChild);
      heading.appendChild(button);
      button.addEventListener("click", function () {
        var before = heading.getAttribute("aria-sort");
        var numeric = heading.classList.contains("n");
        var rising = before ? before === "descending" : !numeric;
        headings.forEach(function (other) { other.removeAttribute("aria-sort"); });
        heading.setAttribute("aria-sort", rising ? "ascending" : "descending");
        var rows = all("tr", body);
        rows.sort(function (a, b) {
          var left = a.cells[column], right = b.cells[column];
          if (!numeric) return (rising ? 1 : -1) * left.textContent.localeCompare(right.textContent);
          var x = parseFloat(left.dataset.value), y = parseFloat(right.dataset.value);
          if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
          return rising ? x - y : y - x;
        });
        rows.forEach(function (row) { body.appendChild(row); });
      });
    });
  }
  all("table.sortable").forEach(sortable);

  // The curves: the pointer reads the nearest line, the list points one out.
  function readCurves(chart) {
    var tip = chart.parentNode.querySelector(".tip");
    var dot = chart.querySelector(".dot");
    var frame = {};
    ["left", "top", "width", "height"].forEach(function (side) { frame[side] = Number(chart.dataset[side]); });
    var entries = all(".lines li", chart.closest("section"));
    var lines = all("polyline", chart).map(function (line) {
      line.textContent = ""; // the browser's own tip would cover this one
      var points = line.getAttribute("points").split(" ").filter(Boolean);
      return { line: line, name: line.dataset.name, points: points.map(function (p) { return p.split(",").map(Number); }) };
    });
    function choose(number) {
      chart.classList.toggle("chosen", number !== null);
      lines.forEach(function (one) { one.line.classList.toggle("on", one.line.dataset.line === number); });
      entries.forEach(function (entry) { entry.classList.toggle("on", entry.dataset.line === number); });
    }
    function leave() {
      tip.hidden = true;
      dot.setAttribute("visibility", "hidden");
      choose(null);
    }
    chart.addEventListener("pointermove", function (event) {
      var box = chart.getBoundingClientRect();
      var scale = chart.viewBox.baseVal.width / box.width;
      var x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      var best = null, nearest = 40 * 40;
      lines.forEach(function (one) {
        one.points.forEach(function (p) {
          var far = (p[0] - x) * (p[0] - x) + (p[1] - y) * (p[1] - y);
          if (far < nearest) { nearest = far; best = { one: one, point: p }; }
        });
      });
      if (!best) return leave();
      var p = best.point;
      choose(best.one.line.dataset.line);
      dot.setAttribute("cx", p[0]);
      dot.setAttribute("cy", p[1]);
      dot.setAttribute("visibility", "visible");
      tip.textContent = best.one.name + "\nrecall " + ((p[0] - frame.left) / frame.width).toFixed(3) +
        "\nprecision " + (1 - (p[1] - frame.top) / frame.height).toFixed(3);
      tip.hidden = false;
      var left = p[0] / scale + 14;
      tip.style.left = Math.max(0, left + tip.offsetWidth > box.width ? p[0] / scale - tip.offsetWidth - 14 : left) + "px";
      tip.style.top = Math.max(0, p[1] / scale - tip.offsetHeight - 8) + "px";
    });
    chart.addEventListener("pointerleave", leave);
    entries.forEach(function (entry) {
      ["pointerenter", "focus"].forEach(function (name) {
        entry.addEventListener(name, function () { choose(entry.dataset.line); });
      });
      ["pointerleave", "blur"].forEach(function (name) { entry.addEventListener(name, leave); });
    });
  }
  all("svg.curves").forEach(readCurves);

  var section = by("gallery");
  if (!section) return;
  var galleries = all(".gallery");
  var tabs = all("[role=tab]");
  var filters = all("[data-filter]");
  var form = section.querySelector(".filters");
  var view = by("view");
  var help = by("help");
  var current = galleries[0].dataset.gallery;
  var shown = null;

  function galleryOf(key) {
    return galleries.filter(function (one) { return one.dataset.gallery === key; })[0];
  }
  function visible() {
    return all(".card:not([hidden])", galleryOf(current));
  }
  // A kind of error or a reason says nothing of a gallery that has but one or none.
  function applies(key, gallery) {
    if (key !== "type" && key !== "reason") return true;
    var first = null, different = false;
    all(".card", gallery).forEach(function (card) {
      if (first === null) first = card.dataset[key];
      else if (card.dataset[key] !== first) different = true;
    });
    return different;
  }
  var applying = {};
  galleries.forEach(function (gallery) {
    applying[gallery.dataset.gallery] = filters.filter(function (one) { return applies(one.dataset.filter, gallery); });
  });

  // A legend names the roles of the boxes that are shown.
  function explain(legend, under) {
    if (legend) all("li", legend).forEach(function (entry) { entry.hidden = !under.querySelector(".boxes ." + entry.dataset.role); });
  }

  function update(quiet) {
    galleries.forEach(function (gallery) {
      var key = gallery.dataset.gallery, matching = 0;
      var cards = all(".card", gallery);
      cards.forEach(function (card) {
        card.hidden = !applying[key].every(function (filter) {
          var wanted = filter.value, has = card.dataset[filter.dataset.filter];
          if (filter.dataset.filter === "image") return has.toLowerCase().indexOf(wanted.trim().toLowerCase()) >= 0;
          return !wanted || has === wanted;
        });
        if (!card.hidden) matching++;
      });
      gallery.hidden = key !== current;
      gallery.querySelector(".nothing").hidden = matching > 0;
      if (key === current) by("count").textContent = matching + " of " + cards.length + " shown";
    });
    explain(section.querySelector(".legend"), galleryOf(current));
    tabs.forEach(function (tab) {
      var chosen = tab.dataset.gallery === current;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
    });
    filters.forEach(function (one) { one.closest("label").hidden = applying[current].indexOf(one) < 0; });
    by("reset").hidden = !filters.some(function (one) { return one.value; });
    if (!quiet) remember();
  }
  function remember() {
    var said = new URLSearchParams();
    if (current !== galleries[0].dataset.gallery) said.set("gallery", current);
    filters.forEach(function (one) { if (one.value) said.set(one.dataset.filter, one.value); });
    var text = said.toString();
    try { history.replaceState(null, "", text ? "#" + text : location.pathname + location.search); } catch (e) { /* not kept */ }
  }
  function recall() {
    var text = location.hash.slice(1);
    if (text.indexOf("=") < 0) return false;
    var said = new URLSearchParams(text);
    if (galleryOf(said.get("gallery"))) current = said.get("gallery");
    else current = galleries[0].dataset.gallery;
    filters.forEach(function (one) {
      one.value = said.get(one.dataset.filter) || "";
      if (one.selectedIndex === -1) one.value = "";
    });
    return true;
  }
  function choose(key) {
    current = key;
    update();
  }

  galleries.forEach(function (gallery) {
    gallery.setAttribute("role", "tabpanel");
    gallery.setAttribute("aria-labelledby", "tab-" + gallery.dataset.gallery);
  });
  tabs.forEach(function (tab, place) {
    tab.addEventListener("click", function () { choose(tab.dataset.gallery); });
    tab.addEventListener("keydown", function (event) {
      var step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      event.preventDefault();
      event.stopPropagation();
      var next = tabs[(place + step + tabs.length) % tabs.length];
      choose(next.dataset.gallery);
      next.focus();
    });
  });
  form.addEventListener("input", function () { update(); });
  form.addEventListener("submit", function (event) { event.preventDefault(); });
  form.addEventListener("reset", function () { setTimeout(update, 0); });
  window.addEventListener("hashchange", function () { if (recall()) update(true); });

  function toggle(name) {
    var on = !root.classList.toggle("no-" + name);
    by(name).setAttribute("aria-pressed", on);
  }
  ["heat", "boxes"].forEach(function (name) { by(name).addEventListener("click", function () { toggle(name); }); });

  // The large view shows copies of the card's own picture and words.
  function show(card) {
    shown = card;
    var cards = visible();
    by("view-title").textContent = card.querySelector(".open").textContent;
    by("view-place").textContent = cards.indexOf(card) + 1 + " of " + cards.length;
    by("before").disabled = card === cards[0];
    by("after").disabled = card === cards[cards.length - 1];
    var stage = by("view-stage"), words = by("view-text");
    stage.textContent = words.textContent = "";
    var picture = card.querySelector(".picture");
    if (picture) stage.appendChild(picture.cloneNode(true));
    explain(view.querySelector(".legend"), stage);
    by("opacity-label").hidden = !card.querySelector("img.heat");
    all(".chips, .image, .more", card).forEach(function (part) { words.appendChild(part.cloneNode(true)); });
    var opening = !view.open;
    if (opening) view.showModal();
    // A button that has just been disabled would swallow the keys.
    if (opening || document.activeElement.disabled || !view.contains(document.activeElement)) by("view-title").focus();
    view.querySelector(".view-body").scrollTop = 0;
  }
  function focus(card) {
    card.querySelector(".open").focus();
    card.scrollIntoView({ block: "nearest" });
  }
  function step(by) {
    var cards = visible();
    var next = cards[cards.indexOf(shown) + by];
    if (next) show(next);
  }
  function walk(by) {
    var cards = visible();
    var at = cards.indexOf(document.activeElement.closest(".card"));
    if (at < 0) at = shown ? cards.indexOf(shown) : -1;
    var next = at < 0 ? cards[0] : cards[at + by];
    if (next) focus(next);
  }
  // How many cards stand in a row.
  function columns() {
    var cards = visible(), top = cards.length ? cards[0].offsetTop : 0, count = 0;
    while (count < cards.length && cards[count].offsetTop === top) count++;
    return Math.max(count, 1);
  }

  section.addEventListener("click", function (event) {
    var link = event.target.closest(".open");
    if (!link) return;
    event.preventDefault();
    show(link.closest(".card"));
  });
  by("before").addEventListener("click", function () { step(-1); });
  by("after").addEventListener("click", function () { step(1); });
  by("close").addEventListener("click", function () { view.close(); });
  by("help-close").addEventListener("click", function () { help.close(); });
  by("help-button").addEventListener("click", function () { help.showModal(); });
  [view, help].forEach(function (dialog) {
    dialog.addEventListener("click", function (event) { if (event.target === dialog) dialog.close(); });
  });
  view.addEventListener("close", function () {
    if (shown && !shown.hidden) focus(shown);
  });
  by("opacity").addEventListener("input", function () {
    if (root.classList.contains("no-heat")) toggle("heat");
    root.style.setProperty("--heat", this.value / 100);
    by("opacity-value").textContent = this.value + " %";
  });

  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    var key = event.key;
    // A slider takes arrows only, a field all that is typed.
    if (event.target.type === "range" ? /^Arrow/.test(key) : /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    if (key === "h") return toggle("heat");
    if (key === "b") return toggle("boxes");
    if (key === "?" && !view.open) return help.open ? help.close() : help.showModal();
    if (help.open) return;
    if (/^[1-9]$/.test(key) && tabs[key - 1] && !view.open) {
      choose(tabs[key - 1].dataset.gallery);
      return section.scrollIntoView({ block: "start" });
    }
    var sideways = { j: 1, ArrowRight: 1, k: -1, ArrowLeft: -1 }[key];
    var down = { ArrowDown: 1, ArrowUp: -1 }[key];
    // Up and down scroll the page until a card has the focus.
    if (down && (view.open || !document.activeElement.closest(".card"))) return;
    if (!sideways && !down) return;
    event.preventDefault();
    if (view.open) step(sideways);
    else walk(sideways || down * columns());
  });

  recall();
  update(true);
})();
