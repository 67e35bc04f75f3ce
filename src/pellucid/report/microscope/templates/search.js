"use strict";
// The search box of every page. search-index.js and the records of units are scripts that call into here,
// since a page opened from a disk may load no other kind of file.
var microscope = (function () {
  var MOST = 8;
  var data = null;
  var waiting = {};
  var box = document.getElementById("search");
  var results = document.getElementById("results");
  var chosen = -1;

  function element(tag, className, text) {
    var made = document.createElement(tag);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    return made;
  }

  function plain(text) {
    return text.toLowerCase();
  }

  function number(value) {
    if (value === null || value === undefined) return "–";
    return String(Number(value.toPrecision(3))).replace("-", "−");
  }

  function address(layer, channel) {
    return encodeURIComponent(layer.page) + (channel === undefined ? "" : "#" + channel);
  }

  function entry(href, text, note, picture) {
    var link = element("a");
    link.href = href;
    link.setAttribute("role", "option");
    link.id = "result-" + results.querySelectorAll("a").length;
    link.tabIndex = -1;
    link.setAttribute("aria-selected", "false");
    if (picture) {
      var image = element("img");
      image.src = picture;
      image.alt = "";
      image.width = image.height = 38;
      link.appendChild(image);
    }
    link.appendChild(element("span", "", text));
    if (note) link.appendChild(element("small", "", note));
    results.appendChild(link);
  }

  function unitEntry(layer, unit, note) {
    var picture = "images/" + encodeURIComponent(layer.slug) + "/" + unit[0] + data.picture + ".jpg";
    entry(address(layer, unit[0]), layer.name + ":" + unit[0], note, picture);
  }

  // Names that begin with what was typed come before those with a word that does, and those before the rest.
  function matching(names, query) {
    var found = [];
    names.forEach(function (name, index) {
      var at = plain(name).indexOf(query);
      if (at < 0) return;
      var rank = at === 0 ? 0 : /[\s_\-/.]/.test(name.charAt(at - 1)) ? 1 : 2;
      found.push([rank, name.length, index]);
    });
    found.sort(function (a, b) { return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]; });
    return found.map(function (one) { return one[2]; });
  }

  function findUnits(query) {
    var colon = query.lastIndexOf(":");
    if (colon < 0 || !/^\d*$/.test(query.slice(colon + 1))) return;
    var name = query.slice(0, colon), start = query.slice(colon + 1), found = [];
    data.layers.forEach(function (layer) {
      if (plain(layer.name).indexOf(name) < 0) return;
      layer.units.forEach(function (unit) {
        var channel = String(unit[0]);
        if (channel.indexOf(start) !== 0) return;
        var exact = (plain(layer.name) === name ? 0 : 2) + (channel === start ? 0 : 1);
        found.push([exact, layer, unit]);
      });
    });
    found.sort(function (a, b) { return a[0] - b[0]; });
    if (!found.length) return;
    results.appendChild(element("h3", "", "Units"));
    found.slice(0, MOST).forEach(function (one) { unitEntry(one[1], one[2], "max " + number(one[2][1])); });
  }

  function findLayers(query) {
    var found = matching(data.layers.map(function (layer) { return layer.name; }), query)
      .map(function (index) { return data.layers[index]; })
      .filter(function (layer) { return layer.units.length; });
    if (!found.length) return;
    results.appendChild(element("h3", "", "Layers"));
    found.slice(0, MOST).forEach(function (layer) { entry(address(layer), layer.name, layer.units.length + " units"); });
  }

  function findClasses(query) {
    matching(data.classes, query).slice(0, 3).forEach(function (index) {
      var found = [];
      data.layers.forEach(function (layer) {
        layer.units.forEach(function (unit) {
          for (var i = 0; i < unit[2].length; i += 2) {
            if (unit[2][i] === index) found.push([unit[2][i + 1], i / 2, layer, unit]);
          }
        });
      });
      found.sort(function (a, b) { return b[0] - a[0] || a[1] - b[1]; });
      if (!found.length) {
        results.appendChild(element("h3", "", data.classes[index] + ": no unit pushes it among its foremost"));
        return;
      }
      results.appendChild(element("h3", "", "Units that push " + data.classes[index]));
      found.slice(0, MOST).forEach(function (one) {
        unitEntry(one[2], one[3], (one[0] / 10).toFixed(1) + "%, its no. " + (one[1] + 1));
      });
    });
  }

  function findPhotos(query) {
    matching(data.photos, query).slice(0, 3).forEach(function (index) {
      var found = [];
      data.layers.forEach(function (layer) {
        layer.units.forEach(function (unit) {
          var place = unit[3].indexOf(index);
          if (place >= 0) found.push([place, layer, unit]);
        });
      });
      found.sort(function (a, b) { return a[0] - b[0]; });
      results.appendChild(element("h3", "", "Units that are high on " + data.photos[index]));
      found.slice(0, MOST).forEach(function (one) { unitEntry(one[1], one[2], "its no. " + (one[0] + 1)); });
    });
  }

  function close() {
    results.hidden = true;
    chosen = -1;
    box.setAttribute("aria-expanded", "false");
    box.removeAttribute("aria-activedescendant");
  }

  function find() {
    var query = plain(box.value.trim());
    results.textContent = "";
    chosen = -1;
    box.removeAttribute("aria-activedescendant");
    if (!query || !data) return close();
    findUnits(query);
    findClasses(query);
    findLayers(query);
    if (query.length > 1) findPhotos(query);
    if (!results.firstChild) results.appendChild(element("p", "", "Nothing of that name."));
    results.hidden = false;
    results.scrollTop = 0;
    box.setAttribute("aria-expanded", "true");
  }

  function choose(step) {
    var links = results.querySelectorAll("a");
    if (!links.length || results.hidden) return;
    if (links[chosen]) links[chosen].setAttribute("aria-selected", "false");
    chosen = chosen < 0 && step < 0 ? links.length - 1 : (chosen + step + links.length) % links.length;
    links[chosen].setAttribute("aria-selected", "true");
    links[chosen].scrollIntoView({ block: "nearest" });
    box.setAttribute("aria-activedescendant", links[chosen].id);
  }

  box.addEventListener("input", find);
  box.addEventListener("focus", find);
  box.addEventListener("keydown", function (event) {
    if (event.key === "ArrowDown") choose(1);
    else if (event.key === "ArrowUp") choose(-1);
    else if (event.key === "Enter") {
      var link = results.querySelectorAll("a")[Math.max(chosen, 0)];
      if (link && !results.hidden) link.click();
    } else if (event.key === "Escape") {
      box.value = "";
      close();
      box.blur();
    } else return;
    event.preventDefault();
    event.stopPropagation();
  });
  results.addEventListener("click", function () {
    close();
    box.blur();
  });
  document.addEventListener("click", function (event) {
    if (!event.target.closest(".search")) close();
  });
  document.addEventListener("keydown", function (event) {
    var typing = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || event.target.isContentEditable;
    if (event.key !== "/" || typing || event.ctrlKey || event.metaKey || event.altKey) return;
    var open = document.querySelector("dialog[open]");
    if (open) open.close();
    event.preventDefault();
    box.focus();
    box.select();
  });

  var theme = document.getElementById("theme");
  theme.addEventListener("click", function () {
    var root = document.documentElement;
    var dark = root.dataset.theme
      ? root.dataset.theme === "dark"
      : window.matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("microscope-theme", root.dataset.theme); } catch (error) { /* not remembered */ }
  });

  return {
    element: element,
    number: number,
    data: function () { return data; },
    index: function (given) {
      data = given;
      if (document.activeElement === box) find();
    },
    // What calls back once a record's script has run.
    onUnits: function (slug, batch, callback) {
      waiting[slug + "/" + batch] = callback;
    },
    units: function (record) {
      var callback = waiting[record.layer + "/" + record.batch];
      if (callback) callback(record.units);
    }
  };
})();
