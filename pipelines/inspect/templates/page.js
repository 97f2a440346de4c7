"use strict";
const isCalm = matchMedia("(prefers-reduced-motion: reduce)").matches;

/* Films: a slider, and pointing at the picture, run through the frames of the strip. */
function startFilm(film) {
  const frames = [...film.querySelectorAll(".strip li")];
  const stage = film.querySelector(".stage"), slider = film.querySelector("input"), output = film.querySelector("output");
  const video = film.querySelector("video");
  const times = film.dataset.times ? film.dataset.times.split(",").map(Number) : [];
  let timer = 0;
  function show(number) {
    frames.forEach((frame, place) => frame.classList.toggle("now", place === number));
    if (!stage) return;
    const image = frames[number].querySelector("img");
    slider.value = number;
    output.textContent = frames[number].querySelector("span").textContent;
    slider.setAttribute("aria-valuetext", output.textContent);
    if (!image) return;
    const paint = () => {
      const context = stage.getContext("2d");
      context.imageSmoothingEnabled = !image.classList.contains("blocky");
      context.clearRect(0, 0, stage.width, stage.height);
      context.drawImage(image, 0, 0, stage.width, stage.height);
    };
    if (image.complete) paint(); else image.addEventListener("load", paint, { once: true });
  }
  function stop() { clearTimeout(timer); timer = 0; }
  function play() {
    const number = (Number(slider.value) + 1) % frames.length;
    const pause = number ? 1000 * ((times[number] - times[number - 1]) || 0.25) : 700;
    timer = setTimeout(() => { show(number); play(); }, Math.min(Math.max(pause, 40), 1000));
  }
  film.showAt = stage && ((seconds) => {
    let number = 0;
    while (number + 1 < times.length && times[number + 1] <= seconds) number += 1;
    show(number);
  });
  if (stage) {
    slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
    if ("moving" in film.dataset && !isCalm) {
      stage.addEventListener("pointerenter", (event) => { if (event.pointerType === "mouse" && !timer) play(); });
      stage.addEventListener("pointerleave", stop);
    }
  }
  frames.forEach((frame, number) => frame.addEventListener("click", () => {
    stop();
    show(number);
    if (video && number < times.length) video.currentTime = times[number];
  }));
  show(0);
}

/* Sounds: a line on the waveform follows the player, and so do the frames that were seen meanwhile. */
function startSound(sound) {
  const player = sound.querySelector("audio"), wave = sound.querySelector(".wave"), line = sound.querySelector(".playhead");
  if (!player) return;
  const length = Number(sound.dataset.seconds) || 1, width = wave.viewBox.baseVal.width;
  const films = [...sound.closest(".card").querySelectorAll(".film[data-moving]")];
  function follow() {
    const place = width * player.currentTime / length;
    line.setAttribute("x1", place);
    line.setAttribute("x2", place);
    line.style.visibility = "visible";
    for (const film of films) {
      film.showAt?.(player.currentTime + Number(sound.dataset.start) - Number(film.dataset.start));
    }
    if (!player.paused) requestAnimationFrame(follow);
  }
  player.addEventListener("play", follow);
  player.addEventListener("seeked", follow);
  wave.addEventListener("click", (event) => {
    const box = wave.getBoundingClientRect();
    player.currentTime = length * (event.clientX - box.left) / box.width;
  });
}

/* Point clouds: turned by pointer or arrow keys; every point is a small square, the nearest one wins. */
const VIRIDIS = [{% for colour in viridis %}"{{ colour }}"{{ ", " if not loop.last }}{% endfor %}].map(
  (hex) => [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16)));
const SCALE = Uint8Array.from({ length: 768 }, (_, place) => {
  const at = Math.floor(place / 3) / 255 * (VIRIDIS.length - 1), low = Math.min(Math.floor(at), VIRIDIS.length - 2);
  return Math.round(VIRIDIS[low][place % 3] * (low + 1 - at) + VIRIDIS[low + 1][place % 3] * (at - low));
});

function readCloud(canvas) {
  const bytes = Uint8Array.from(atob(canvas.dataset.points), (character) => character.charCodeAt(0));
  const count = Number(canvas.dataset.count), view = new DataView(bytes.buffer);
  const places = Float32Array.from({ length: 3 * count }, (_, place) => view.getInt16(2 * place, true) / 16000);
  let start = 6 * count;
  const colours = canvas.dataset.widths.split(",").map(Number).map((width) => {
    const own = bytes.subarray(start, start += width * count);
    return width === 3 ? own : Uint8Array.from({ length: 3 * count }, (_, place) => SCALE[3 * own[Math.floor(place / 3)] + place % 3]);
  });
  return { count, places, colours };
}

function drawCloud(canvas, cloud, camera, colours) {
  const { width, height } = canvas, context = canvas.getContext("2d");
  const image = context.createImageData(width, height), nearest = new Float32Array(width * height).fill(Infinity);
  const [sinYaw, cosYaw, sinPitch, cosPitch] = [Math.sin(camera.yaw), Math.cos(camera.yaw), Math.sin(camera.pitch), Math.cos(camera.pitch)];
  const scale = 1.35 * Math.min(width, height) * camera.zoom, dot = Math.max(2, Math.round(Math.min(width, height) / 100));
  for (let point = 0; point < cloud.count; point += 1) {
    const [x, y, z] = [cloud.places[3 * point], cloud.places[3 * point + 1], cloud.places[3 * point + 2]];
    const right = x * cosYaw - y * sinYaw, ahead = x * sinYaw + y * cosYaw;
    const depth = 2.8 + ahead * cosPitch - z * sinPitch;
    if (depth < 0.2) continue;
    const column = Math.round(width / 2 + scale * right / depth), row = Math.round(height / 2 - scale * (z * cosPitch + ahead * sinPitch) / depth);
    const side = Math.max(1, Math.round(dot * 2.4 / depth));
    for (let down = Math.max(row, 0); down < Math.min(row + side, height); down += 1) {
      for (let along = Math.max(column, 0); along < Math.min(column + side, width); along += 1) {
        const place = down * width + along;
        if (depth >= nearest[place]) continue;
        nearest[place] = depth;
        image.data.set([colours[3 * point], colours[3 * point + 1], colours[3 * point + 2], 255], 4 * place);
      }
    }
  }
  context.putImageData(image, 0, 0);
}

function startCloud(box) {
  const canvas = box.querySelector("canvas"), choice = box.querySelector("select"), start = { yaw: -0.6, pitch: 0.45, zoom: 1 };
  let camera = { ...start }, cloud = null, isWaiting = false, held = null;
  function draw() {
    isWaiting = false;
    cloud ??= readCloud(canvas);
    drawCloud(canvas, cloud, camera, cloud.colours[Number(choice.value)]);
  }
  function redraw() {
    if (!isWaiting && canvas.width) { isWaiting = true; requestAnimationFrame(draw); }
  }
  function turn(yaw, pitch, zoom = 1) {
    camera = {
      yaw: camera.yaw + yaw,
      pitch: Math.min(Math.max(camera.pitch + pitch, -1.57), 1.57),
      zoom: Math.min(Math.max(camera.zoom * zoom, 0.3), 12),
    };
    redraw();
  }
  function name() {
    const { low, high } = choice.selectedOptions[0].dataset, isScale = Number(canvas.dataset.widths.split(",")[choice.value]) === 1;
    box.querySelector(".range").style.visibility = isScale ? "visible" : "hidden";
    box.querySelector(".low").textContent = low;
    box.querySelector(".high").textContent = high;
  }
  const keys = {
    ArrowLeft: () => turn(0.12, 0), ArrowRight: () => turn(-0.12, 0), ArrowUp: () => turn(0, 0.12), ArrowDown: () => turn(0, -0.12),
    "+": () => turn(0, 0, 1.15), "=": () => turn(0, 0, 1.15), "-": () => turn(0, 0, 1 / 1.15),
    0: () => { camera = { ...start }; redraw(); },
  };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keys) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keys[event.key]();
  });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    held = event;
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!canvas.hasPointerCapture(event.pointerId)) return;
    turn((held.clientX - event.clientX) * 0.01, (event.clientY - held.clientY) * 0.01);
    held = event;
  });
  canvas.addEventListener("dblclick", keys[0]);
  canvas.addEventListener("wheel", (event) => {
    if (document.activeElement !== canvas) return;
    event.preventDefault();
    turn(0, 0, Math.exp(-event.deltaY * 0.001));
  }, { passive: false });
  choice.addEventListener("change", () => { name(); redraw(); });
  new ResizeObserver(() => {
    const density = Math.min(devicePixelRatio || 1, 2);
    canvas.width = Math.round(canvas.clientWidth * density);
    canvas.height = Math.round(canvas.clientHeight * density);
    redraw();
  }).observe(canvas);
  name();
}

/* What is far down the page is started when it comes near. */
const starts = { film: startFilm, sound: startSound, cloud: startCloud };
const watcher = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((entry) => entry.isIntersecting)) {
    watcher.unobserve(entry.target);
    starts[entry.target.className](entry.target);
  }
}, { rootMargin: "600px" });
document.querySelectorAll(".film, .sound, .cloud").forEach((part) => watcher.observe(part));
