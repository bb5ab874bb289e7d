"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const stage = $("stage");
  const panes = [...stage.querySelectorAll(".pane")];
  const [width, height] = [data.size[0] * data.pixelAspect, data.size[1]];
  const LARGEST = 16; // screen pixels a picture's pixel may take
  const KEY_STEP = 2; // per cent the divider moves by a key
  const PAN_STEP = 0.1; // parts of the view the picture moves by a key

  const state = {
    frame: data.first,
    sides: [0, data.inputs.length - 1],
    split: 50,
    zoom: 1, // 1 fits the picture into its pane
    x: 0.5, // what part of the picture is in the middle of the pane
    y: 0.5,
    pixels: false,
    timer: 0,
  };

  // ---- Small things

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

  function element(name, text = "", attributes = {}) {
    const made = document.createElement(name);
    made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function clock(seconds) {
    const minutes = Math.floor(seconds / 60);
    return `${minutes}:${(seconds - 60 * minutes).toFixed(2).padStart(5, "0")}`;
  }

  const sizeText = (size) => `${size[0]} × ${size[1]}`;

  function captionOf(input) {
    return input.enlarged ? `${sizeText(input.size)}, enlarged` : sizeText(input.size);
  }

  // ---- Pictures: decoded when first needed, then kept

  const pictures = data.frames.map((frame) => frame.images.map(() => null));

  function picture(frame, input) {
    if (!pictures[frame][input]) {
      const image = new Image();
      image.src = data.frames[frame].images[input];
      image.addEventListener("load", draw);
      pictures[frame][input] = image;
    }
    return pictures[frame][input];
  }

  function preload() {
    for (const next of [state.frame + 1, state.frame - 1]) {
      if (next >= 0 && next < data.frames.length) state.sides.forEach((input) => picture(next, input));
    }
  }

  // ---- Geometry: `scale` is CSS pixels a picture's pixel

  function view(pane) {
    const box = { width: pane.clientWidth, height: pane.clientHeight };
    const scale = Math.min(box.width / width, box.height / height) * state.zoom;
    return { ...box, scale, left: box.width / 2 - state.x * width * scale, top: box.height / 2 - state.y * height * scale };
  }

  function highestZoom() {
    const { scale } = view(panes[0]);
    return Math.max(2, (LARGEST / devicePixelRatio / scale) * state.zoom);
  }

  /** Keep the picture over the pane, or in its middle where it is smaller. */
  function settle() {
    state.zoom = clamp(state.zoom, 1, highestZoom());
    const { width: w, height: h, scale } = view(panes[0]);
    const [x, y] = [w / (2 * width * scale), h / (2 * height * scale)];
    state.x = x >= 0.5 ? 0.5 : clamp(state.x, x, 1 - x);
    state.y = y >= 0.5 ? 0.5 : clamp(state.y, y, 1 - y);
  }

  /** Zoom so that what lies under a point of a pane (CSS pixels) stays there. */
  function zoomTo(zoom, at = null) {
    const before = view(panes[0]);
    const point = at ?? { x: before.width / 2, y: before.height / 2 };
    const [x, y] = [(point.x - before.left) / before.scale, (point.y - before.top) / before.scale];
    state.zoom = clamp(zoom, 1, highestZoom());
    const after = view(panes[0]);
    state.x = (x - (point.x - after.width / 2) / after.scale) / width;
    state.y = (y - (point.y - after.height / 2) / after.scale) / height;
    redraw();
  }

  function pan(dx, dy) {
    const { scale } = view(panes[0]);
    state.x -= dx / (width * scale);
    state.y -= dy / (height * scale);
    redraw();
  }

  function showDifference() {
    const [x, y, w, h] = data.focus;
    const { width: across, height: down, scale } = view(panes[0]);
    const fit = scale / state.zoom;
    [state.x, state.y] = [x + w / 2, y + h / 2];
    state.zoom = 0.9 * Math.min(across / (w * width * fit), down / (h * height * fit));
    redraw();
  }

  // ---- Drawing

  function drawPane(pane, input) {
    const canvas = pane.querySelector("canvas");
    const { width: w, height: h, scale, left, top } = view(pane);
    const [across, down] = [Math.round(w * devicePixelRatio), Math.round(h * devicePixelRatio)];
    const image = picture(state.frame, input);
    if (!image.complete) return; // drawn again once it is
    if (canvas.width !== across || canvas.height !== down) [canvas.width, canvas.height] = [across, down];
    const context = canvas.getContext("2d");
    context.setTransform(devicePixelRatio, 0, 0, devicePixelRatio, 0, 0);
    context.clearRect(0, 0, w, h);
    context.imageSmoothingEnabled = !state.pixels;
    context.imageSmoothingQuality = "high";
    context.drawImage(image, left, top, width * scale, height * scale);
    canvas.dataset.frame = data.frames[state.frame].number;
  }

  function draw() {
    panes.forEach((pane, side) => drawPane(pane, state.sides[side]));
  }

  let asked = 0;
  function redraw() {
    settle();
    const level = Math.round(view(panes[0]).scale * devicePixelRatio * 100);
    $("zoom-level").textContent = `${level} %`;
    stage.classList.toggle("enlarged", state.zoom > 1.001);
    cancelAnimationFrame(asked);
    asked = requestAnimationFrame(draw);
  }

  function nameSides() {
    panes.forEach((pane, side) => {
      const input = data.inputs[state.sides[side]];
      pane.querySelector("figcaption").replaceChildren(input.label, element("small", captionOf(input)));
    });
    describe();
  }

  function describe() {
    const frame = data.frames[state.frame];
    panes.forEach((pane, side) => {
      const label = data.inputs[state.sides[side]].label;
      pane.querySelector("canvas").setAttribute("aria-label", `${label}, frame ${frame.number}`);
    });
    const [left, right] = state.sides.map((input) => data.inputs[input].label);
    const share = Math.round(state.split);
    $("divider").setAttribute("aria-valuenow", share);
    $("divider").setAttribute("aria-valuetext", `${share} % ${left}, ${100 - share} % ${right}`);
  }

  // ---- Divider, view

  function split(share) {
    state.split = clamp(share, 0, 100);
    stage.style.setProperty("--split", `${state.split}%`);
    describe();
  }

  function setView(name) {
    stage.dataset.view = name;
    $("view-slider").setAttribute("aria-pressed", name === "slider");
    $("view-pair").setAttribute("aria-pressed", name === "pair");
    $("swap").disabled = name === "pair";
    redraw();
  }

  const toggleView = () => setView(stage.dataset.view === "slider" ? "pair" : "slider");

  function flip() {
    if (stage.dataset.view === "slider") split(state.split < 50 ? 100 : 0);
  }

  function togglePixels() {
    state.pixels = !state.pixels;
    $("pixels").setAttribute("aria-pressed", state.pixels);
    redraw();
  }

  // ---- Frames

  function show(frame) {
    state.frame = clamp(frame, 0, data.frames.length - 1);
    const { number, time } = data.frames[state.frame];
    $("frame").value = state.frame;
    $("frame").setAttribute("aria-valuetext", `frame ${number}, ${clock(time)}`);
    $("where").textContent = `frame ${number} · ${clock(time)}`;
    const now = $("strip").querySelector(".now");
    now.setAttribute("x", number + 0.5);
    for (const button of $("stretches").children) {
      const [first, stop] = button.dataset.frames.split(" ").map(Number);
      button.setAttribute("aria-pressed", state.frame >= first && state.frame < stop);
    }
    describe();
    redraw();
    preload();
  }

  const stretch = () => data.stretches.find(([first, stop]) => state.frame >= first && state.frame < stop);

  function step(by) {
    pause();
    show(state.frame + by);
  }

  function pause() {
    clearInterval(state.timer);
    state.timer = 0;
    $("play").classList.remove("playing");
    $("play").setAttribute("aria-label", "Play");
  }

  function togglePlay() {
    if (state.timer) return pause();
    $("play").classList.add("playing");
    $("play").setAttribute("aria-label", "Pause");
    state.timer = setInterval(() => {
      const [first, stop] = stretch();
      show(state.frame + 1 < stop ? state.frame + 1 : first);
    }, 1000 / data.rate);
  }

  // ---- Pointers: one moves the divider or the picture, two zoom

  const pointers = new Map();
  let dragging = ""; // `divider`, `picture`, `pinch` or nothing
  let last = null; // where it was a moment ago
  let tapped = false; // whether a finger came down and has not moved yet

  function place(event, pane = stage) {
    const box = pane.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  const paneOf = (event) => event.target.closest?.(".pane") ?? panes[0];

  function pinch() {
    const [a, b] = [...pointers.values()];
    return { x: (a.x + b.x) / 2, y: (a.y + b.y) / 2, apart: Math.hypot(a.x - b.x, a.y - b.y) };
  }

  stage.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    pointers.set(event.pointerId, place(event, paneOf(event)));
    stage.setPointerCapture(event.pointerId);
    const onDivider = event.target.closest?.("#divider");
    if (pointers.size >= 2) [dragging, last] = ["pinch", pinch()];
    else {
      const slides = stage.dataset.view === "slider" && (onDivider || state.zoom <= 1.001);
      [dragging, last] = [slides ? "divider" : "picture", place(event)];
      if (onDivider) $("divider").focus({ preventScroll: true });
      else if (slides && event.pointerType === "mouse") split((100 * last.x) / stage.clientWidth);
      tapped = slides && !onDivider; // a finger may be about to scroll the page: wait
    }
    if (event.pointerType === "mouse") event.preventDefault();
  });

  stage.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) return;
    tapped = false;
    if (dragging === "pinch") {
      const kept = pointers.get(event.pointerId);
      const now = place(event);
      const offset = stage.dataset.view === "pair" ? pairOffset(now) : { x: 0, y: 0 };
      [kept.x, kept.y] = [now.x - offset.x, now.y - offset.y];
      const at = pinch();
      zoomTo((state.zoom * at.apart) / Math.max(1, last.apart), at);
      pan(at.x - last.x, at.y - last.y);
      last = at;
      return;
    }
    const now = place(event);
    last ??= now; // the finger that stayed after another one left
    if (dragging === "divider") split((100 * now.x) / stage.clientWidth);
    else pan(now.x - last.x, now.y - last.y);
    last = now;
  });

  /** Return where the pane under a point of the stage begins. */
  function pairOffset(point) {
    const [, second] = panes;
    const inside = point.x >= second.offsetLeft && point.y >= second.offsetTop;
    return inside ? { x: second.offsetLeft, y: second.offsetTop } : { x: 0, y: 0 };
  }

  for (const name of ["pointerup", "pointercancel"]) {
    stage.addEventListener(name, (event) => {
      if (tapped && name === "pointerup") split((100 * last.x) / stage.clientWidth);
      pointers.delete(event.pointerId);
      [dragging, last, tapped] = [pointers.size ? "picture" : "", null, false];
    });
  }

  stage.addEventListener("dblclick", (event) => {
    if (event.target.closest("#divider")) return;
    const { scale } = view(panes[0]);
    const whole = state.zoom / (scale * devicePixelRatio);
    zoomTo(state.zoom > 1.001 ? 1 : Math.max(2, whole), place(event, paneOf(event)));
  });

  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the page scrolls
    event.preventDefault();
    zoomTo(state.zoom * Math.exp(-clamp(event.deltaY, -50, 50) / 100), place(event, paneOf(event)));
  }, { passive: false });

  // ---- Keyboard

  const zoomIn = () => zoomTo(state.zoom * 1.5);
  const zoomOut = () => zoomTo(state.zoom / 1.5);
  const fit = () => zoomTo(1);
  const panBy = (x, y) => pan(x * PAN_STEP * panes[0].clientWidth, y * PAN_STEP * panes[0].clientHeight);
  const keys = {
    "+": zoomIn, "=": zoomIn, "-": zoomOut, "0": fit, m: showDifference, x: flip, v: toggleView, p: togglePixels,
    w: () => panBy(0, 1), s: () => panBy(0, -1), a: () => panBy(1, 0), d: () => panBy(-1, 0),
  };

  function moveDivider(event) {
    const steps = { ArrowLeft: -KEY_STEP, ArrowDown: -KEY_STEP, ArrowRight: KEY_STEP, ArrowUp: KEY_STEP, PageDown: -10, PageUp: 10 };
    if (event.key in steps) split(state.split + steps[event.key]);
    else if (event.key === "Home") split(0);
    else if (event.key === "End") split(100);
    else return false;
    return true;
  }

  function pressed(event) {
    const arrow = event.key === "ArrowLeft" ? -1 : event.key === "ArrowRight" ? 1 : 0;
    if (event.target === $("divider") && moveDivider(event)) return true;
    if (event.target.matches("select, pre")) return false;
    if (arrow && event.shiftKey) split(state.split + arrow * KEY_STEP);
    else if (arrow && event.target !== $("frame")) step(arrow);
    else if (event.key === " " && !event.target.matches("button, summary")) togglePlay();
    else if (event.key.toLowerCase() in keys) keys[event.key.toLowerCase()]();
    else return false;
    return true;
  }

  document.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.altKey && pressed(event)) event.preventDefault();
  });

  // ---- What stands beside and below

  function fillFigures() {
    const section = $("figures");
    for (const row of data.figures) {
      const line = element("tr");
      line.append(
        element("th", row.label, { scope: "row" }),
        element("td", row.psnr === null ? "equal" : `${row.psnr.toFixed(2)} dB`, { class: "number" }),
        element("td", row.ssim.toFixed(4), { class: "number" }),
        element("td", `frame ${row.worst}`, { class: "number" }),
      );
      section.querySelector("tbody").append(line);
    }
    const reference = data.inputs[0].label;
    const measured = `Mean over ${data.compared} frames, on ${data.channels === "y" ? "luma" : "RGB"}, against ${reference}`;
    section.querySelector("p").textContent = data.referenceEnlarged
      ? `${measured}, enlarged bicubically. These figures say how much was changed, not how good it is. Frames are counted from 0.`
      : `${measured}. They are a measure of quality only if ${reference} is the original. Frames are counted from 0.`;
  }

  function reportRows(report) {
    const seconds = Object.values(report.seconds ?? {}).reduce((sum, part) => sum + part, 0);
    const rows = [
      ["Status", report.status],
      ["Model", report.model],
      ["Device", [report.device, report.precision].filter(Boolean).join(", ")],
      ["Computed by", report.kernels],
      ["Frames", report.frames],
      ["Size", report.size?.[0] ? sizeText(report.size) : ""],
      ["Time", seconds ? `${seconds.toFixed(1)} s` : ""],
      ["Speed", report.fps ? `${report.fps} frames a second` : ""],
      ["File", report.output_bytes ? `${(report.output_bytes / 1e6).toFixed(1)} MB` : ""],
    ];
    return rows.filter(([, value]) => value !== undefined && value !== "");
  }

  function fillRun() {
    if (!data.report) return;
    const section = $("run");
    section.hidden = false;
    for (const [name, value] of reportRows(data.report)) {
      const row = element("div");
      row.append(element("dt", name), element("dd", String(value)));
      section.querySelector("dl").append(row);
    }
    const notes = [...(data.report.notes ?? []), ...(data.report.events ?? [])];
    section.querySelector(".notes").append(...notes.map((note) => element("li", String(note))));
    section.querySelector("pre").textContent = JSON.stringify(data.report, null, 2);
  }

  function fillSlices() {
    const { row, first, last, images } = data.slice;
    const frames = last - first + 1;
    $("slices").querySelector("p").textContent =
      `Row ${row} of ${data.rows}, frames ${first} to ${last}, time running down. What stands still gives upright lines, ` +
      "what moves slanted ones; flicker shows as stripes across.";
    images.forEach((source, input) => {
      const figure = element("figure");
      const image = element("img", "", { src: source, alt: `One row of ${data.inputs[input].label} over ${frames} frames` });
      image.style.height = `${frames * clamp(Math.round(240 / frames), 1, 16)}px`;
      figure.append(image, element("figcaption", data.inputs[input].label));
      $("slices").querySelector(".pair").append(figure);
    });
  }

  function fillStrip() {
    const svg = $("strip").querySelector("svg");
    const total = data.compared;
    const highest = Math.max(...data.scores, 1e-9);
    const part = (name, attributes) => {
      const made = document.createElementNS("http://www.w3.org/2000/svg", name);
      for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
      svg.append(made);
    };
    svg.setAttribute("viewBox", `0 0 ${total} 1`);
    svg.setAttribute("aria-label", "How much the inputs differ over time");
    const wide = total / data.scores.length;
    const outline = data.scores.map((score, i) => `V${1 - (0.9 * score) / highest}H${(i + 1) * wide}`).join("");
    part("path", { class: "scores", d: `M0 1${outline}V1z` });
    for (const [first, stop] of data.stretches) {
      const from = data.frames[first].number;
      part("rect", { class: "shown", x: from, y: 0, width: stop - first, height: 1 });
    }
    part("rect", { class: "now", x: 0, y: 0, width: total / 300, height: 1 });
    $("strip").hidden = total < 2;
  }

  function fillStretches() {
    if (data.stretches.length < 2) return ($("stretches").hidden = true);
    for (const [first, stop] of data.stretches) {
      const [from, to] = [data.frames[first], data.frames[stop - 1]];
      const text = first + 1 < stop ? `${from.number}–${to.number}` : `${from.number}`;
      const button = element("button", `${clock(from.time)}, frames ${text}`, { type: "button" });
      button.dataset.frames = `${first} ${stop}`;
      button.addEventListener("click", () => show(first));
      $("stretches").append(button);
    }
  }

  function fillChoices() {
    if (data.inputs.length < 3) return;
    stage.closest(".viewer").querySelector(".choices").hidden = false;
    ["left", "right"].forEach((id, side) => {
      data.inputs.forEach((input, i) => $(id).append(element("option", input.label, { value: i })));
      $(id).value = state.sides[side];
      $(id).addEventListener("change", () => {
        state.sides[side] = Number($(id).value);
        nameSides();
        redraw();
        preload();
      });
    });
  }

  const THEMES = ["auto", "light", "dark"];
  function nextTheme() {
    const now = document.documentElement.dataset.theme ?? "auto";
    const next = THEMES[(THEMES.indexOf(now) + 1) % THEMES.length];
    document.documentElement.dataset.theme = next;
    $("theme").textContent = `Theme: ${next}`;
  }

  function begin() {
    const ratio = width / height;
    stage.style.setProperty("--ratio", ratio);
    stage.style.setProperty("--pair-ratio", 2 * ratio);
    stage.style.setProperty("--stack-ratio", ratio / 2);
    $("frame").max = data.frames.length - 1;
    const parts = data.inputs.map((input) => `${input.label} ${sizeText(input.size)}`);
    $("summary").textContent = `${parts.join(", ")}${data.crop ? `; the part ${data.crop}` : ""}`;
    $("made").textContent =
      `${data.frames.length} of ${data.compared} frames, kept as WebP of quality ${data.quality}, which may blur the finest grain. ` +
      `Smaller inputs are enlarged bicubically. Made by ${data.generator}; this page loads nothing from anywhere.`;
    fillFigures();
    fillRun();
    fillSlices();
    fillStrip();
    fillStretches();
    fillChoices();
    nameSides();
    split(50);
    show(data.first);
  }

  const clicks = {
    "view-slider": () => setView("slider"), "view-pair": () => setView("pair"), swap: flip,
    "zoom-in": zoomIn, "zoom-out": zoomOut, fit, most: showDifference, pixels: togglePixels,
    previous: () => step(-1), next: () => step(1), play: togglePlay, theme: nextTheme,
  };
  for (const [id, act] of Object.entries(clicks)) $(id).addEventListener("click", act);
  $("frame").addEventListener("input", () => { pause(); show(Number($("frame").value)); });
  new ResizeObserver(redraw).observe(stage);
  begin();
})();
