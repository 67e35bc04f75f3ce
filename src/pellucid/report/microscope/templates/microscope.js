"use strict";
// The large view of one unit, on a layer's page: layer.html#42 opens it.
(function () {
  var given = document.getElementById("layer");
  if (!given) return;
  var about = JSON.parse(given.textContent);
  var view = document.getElementById("view");
  var known = {};
  var asked = {};
  var shown = null;
  var make = microscope.element;

  function fromAddress() {
    var text = location.hash.slice(1);
    return /^\d+$/.test(text) && about.channels.indexOf(Number(text)) >= 0 ? Number(text) : null;
  }

  function load(batch, done) {
    if (known[batch]) return done(known[batch]);
    microscope.onUnits(about.slug, batch, function (units) {
      known[batch] = units;
      if (shown !== null && batchOf(shown) === batch) done(units);
    });
    if (asked[batch]) return;
    asked[batch] = true;
    var script = make("script");
    script.src = about.files[batch];
    script.onerror = function () {
      asked[batch] = false;
      if (view.open) view.appendChild(make("p", "note", "This unit's record, " + about.files[batch] + ", cannot be loaded."));
    };
    document.body.appendChild(script);
  }

  function batchOf(channel) {
    return Math.floor(about.channels.indexOf(channel) / about.batch);
  }

  function pathOf(channel, kind) {
    return "images/" + encodeURIComponent(about.slug) + "/" + channel + kind + ".jpg";
  }

  function button(text, label, action, disabled) {
    var made = make("button", "", text);
    made.type = "button";
    made.setAttribute("aria-label", label);
    made.disabled = disabled;
    made.addEventListener("click", action);
    return made;
  }

  function header(channel, value) {
    var place = about.channels.indexOf(channel);
    var head = make("div", "head");
    var title = make("h2", "", about.layer + ":" + channel);
    title.id = "view-title";
    if (value !== undefined) title.appendChild(make("small", "", "max " + microscope.number(value)));
    head.appendChild(title);
    head.appendChild(button("←", "The unit before", function () { step(-1); }, place === 0));
    head.appendChild(button("→", "The unit after", function () { step(1); }, place === about.channels.length - 1));
    head.appendChild(button("Close", "Close", function () { view.close(); }, false));
    return head;
  }

  function madePart(unit) {
    var part = make("section", "made");
    part.appendChild(make("h3", "", "Synthesised image"));
    var figure = make("figure");
    var image = make("img");
    image.src = pathOf(unit.channel, "");
    image.alt = "Synthesised image of " + about.layer + ":" + unit.channel;
    image.width = image.height = 330;
    figure.appendChild(image);
    figure.appendChild(make("figcaption", "", "Mean activation " + microscope.number(unit.synthesised)));
    part.appendChild(figure);
    return part;
  }

  function cropsPart(unit) {
    var part = make("section", "crops-part");
    part.appendChild(make("h3", "", "Where it is highest"));
    var grid = make("div", "crops");
    unit.crops.forEach(function (crop, place) {
      var figure = make("figure");
      var frame = make("div", "crop");
      var image = make("img");
      image.src = pathOf(unit.channel, "-crops");
      image.alt = "Crop of " + crop.photo;
      image.style.width = 100 * about.columns + "%";
      image.style.height = 100 * about.rows + "%";
      image.style.left = -100 * (place % about.columns) + "%";
      image.style.top = -100 * Math.floor(place / about.columns) + "%";
      frame.appendChild(image);
      figure.appendChild(frame);
      var caption = make("figcaption");
      caption.appendChild(make("b", "", microscope.number(crop.value)));
      var name = make("span", "", crop.photo);
      name.title = crop.photo;
      caption.appendChild(name);
      figure.appendChild(caption);
      grid.appendChild(figure);
    });
    part.appendChild(grid);
    return part;
  }

  function classList(unit, indices, most) {
    var names = (microscope.data() || { classes: [] }).classes;
    var list = make("ol", "classes");
    indices.forEach(function (index) {
      var value = unit.influence[index];
      var row = make("li", value < 0 ? "below" : "");
      row.style.setProperty("--bar", (most > 0 ? (100 * Math.abs(value)) / most : 0) + "%");
      var name = make("span", "", names[index] === undefined ? "class " + index : names[index]);
      name.title = name.textContent;
      row.appendChild(name);
      row.appendChild(make("b", "", (value > 0 ? "+" : "") + microscope.number(value)));
      list.appendChild(row);
    });
    return list;
  }

  function classesPart(unit) {
    var order = unit.influence.map(function (_, index) { return index; });
    order.sort(function (a, b) { return unit.influence[b] - unit.influence[a] || a - b; });
    var most = Math.max(Math.abs(unit.influence[order[0]]), Math.abs(unit.influence[order[order.length - 1]]));
    var part = make("section");
    var up = order.filter(function (index) { return unit.influence[index] > 0; });
    var down = order.filter(function (index) { return unit.influence[index] < 0; }).reverse();
    part.appendChild(make("h3", "", "Pushes up, in the logit"));
    part.appendChild(up.length ? classList(unit, up.slice(0, 9), most) : make("p", "note", "No class"));
    if (down.length) {
      part.appendChild(make("h3", "", "Pushes down"));
      part.appendChild(classList(unit, down.slice(0, 4), most));
    }
    var all = make("details");
    all.appendChild(make("summary", "", "All " + order.length + " classes"));
    all.addEventListener("toggle", function () {
      if (all.open && all.children.length === 1) all.appendChild(classList(unit, order, most));
    });
    part.appendChild(all);
    return part;
  }

  function show(channel) {
    shown = channel;
    var focused = view.contains(document.activeElement) ? document.activeElement.getAttribute("aria-label") : null;
    load(batchOf(channel), function (units) {
      var unit = units.filter(function (one) { return one.channel === channel; })[0];
      if (!unit || shown !== channel) return;
      view.textContent = "";
      view.appendChild(header(channel, unit.crops.length ? unit.crops[0].value : undefined));
      var large = make("div", about.synthesis ? "large" : "large plain");
      if (about.synthesis) large.appendChild(madePart(unit));
      large.appendChild(cropsPart(unit));
      large.appendChild(classesPart(unit));
      view.appendChild(large);
      refocus(focused);
    });
    if (!view.open) {
      if (!view.firstChild) view.appendChild(header(channel));
      view.showModal();
    }
  }

  function refocus(label) {
    Array.prototype.forEach.call(view.querySelectorAll("button"), function (one) {
      if (one.getAttribute("aria-label") === label && !one.disabled) one.focus();
    });
    if (!view.contains(document.activeElement)) view.querySelector("button:not(:disabled)").focus();
  }

  function follow() {
    var channel = fromAddress();
    if (channel !== null) show(channel);
    else if (view.open) view.close();
  }

  function step(by) {
    var next = about.channels[about.channels.indexOf(shown) + by];
    if (next === undefined) return;
    location.replace("#" + next);
  }

  // Without the large view the arrows move between the tiles.
  function walk(by) {
    var links = Array.prototype.slice.call(document.querySelectorAll(".unit h2 a"));
    var at = links.indexOf(document.activeElement);
    if (at < 0) {
      var left = document.getElementById(String(shown));
      at = left ? links.indexOf(left.querySelector("h2 a")) - by : by > 0 ? -1 : links.length;
    }
    var next = links[at + by];
    if (next) next.focus();
  }

  view.addEventListener("close", function () {
    var tile = document.getElementById(String(shown));
    history.replaceState(null, "", location.pathname + location.search);
    if (tile) tile.querySelector("h2 a").focus();
  });
  view.addEventListener("click", function (event) {
    if (event.target === view) view.close();
  });
  document.addEventListener("click", function (event) {
    // A unit whose address is already there changes no address, and so would not open again.
    var link = event.target.closest ? event.target.closest("a[href*='#']") : null;
    if (link && link.hash === location.hash && link.pathname === location.pathname && !view.open) follow();
  });
  document.addEventListener("keydown", function (event) {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName)) return;
    var by = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!by) return;
    event.preventDefault();
    if (view.open) step(by);
    else walk(by);
  });
  window.addEventListener("hashchange", follow);
  follow();
})();
