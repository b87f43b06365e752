// A larger look at the clip under the mouse: at once its part of the mosaic, enlarged; then, where the review's own
// server serves it, the clip itself, bigger and with all its frames. The part is the mosaic played once more: drawn on a
// canvas, each look would leave a frame of 13 MB in the caches of a Chromium without a graphics card, up to 394 MB.
// Loaded before grid.js, which tells it of batches.
window.stillflowLook ||= (() => {
  const REST_MS = 250; // the mouse rests this long on a cell before it is enlarged
  const SCALE = 2.4; // of a cell
  let pane = null; // the enlarged cell's element
  let source = null; // { cell, grid, video, films }
  let timer = 0;

  function close() {
    clearTimeout(timer);
    pane?.remove();
    source?.films.forEach(drop);
    pane = null;
    source = null;
  }

  function drop(film) {
    film.remove();
    film.removeAttribute("src"); // frees its decoder at once
    film.load();
  }

  function open(cell, grid) {
    close();
    const video = grid.querySelector("video");
    if (!video || video.readyState < 2 || cell.querySelector(".sf-broken")) return;
    const width = Math.min(cell.offsetWidth * SCALE, grid.offsetWidth * 0.6);
    const height = (width * cell.offsetHeight) / cell.offsetWidth;
    const within = (value, size, all) => Math.max(0, Math.min(value, all - size));
    pane = document.createElement("div");
    pane.className = "sf-look";
    pane.style.width = `${width}px`;
    pane.style.height = `${height}px`;
    pane.style.left = `${within(cell.offsetLeft + (cell.offsetWidth - width) / 2, width, grid.offsetWidth)}px`;
    pane.style.top = `${within(cell.offsetTop + (cell.offsetHeight - height) / 2, height, grid.offsetHeight)}px`;
    const mine = { cell, grid, video, films: [] };
    source = mine;
    const part = film(mine, video.currentSrc);
    const enlarged = (size) => `${(size * width) / cell.offsetWidth}px`;
    Object.assign(part.style, { width: enlarged(grid.offsetWidth), height: enlarged(grid.offsetHeight) });
    Object.assign(part.style, { left: enlarged(-cell.offsetLeft), top: enlarged(-cell.offsetTop) });
    part.className = "sf-part";
    part.currentTime = video.currentTime;
    if (grid.dataset.closeups) {
      const clip = film(mine, `${grid.dataset.closeups}${grid.dataset.token}-${cell.dataset.cell}.mp4`);
      clip.addEventListener("playing", () => { // until then, and where it cannot play, the part stays
        drop(part);
        mine.films = [clip];
      }, { once: true });
    }
    colour(mine);
  }

  // A film that is shown in the pane once it has pictures.
  function film(mine, address) {
    const made = document.createElement("video");
    Object.assign(made, { muted: true, loop: true, playsInline: true, autoplay: !mine.video.paused, src: address });
    made.defaultPlaybackRate = made.playbackRate = mine.video.playbackRate;
    made.addEventListener("loadeddata", () => {
      if (source !== mine) return;
      if (made === mine.films[0]) pane.prepend(made); // the part, beneath the clip
      else pane.append(made);
      mine.grid.append(pane);
    }, { once: true });
    mine.films.push(made);
    return made;
  }

  // As the cell's own mark, which may change while the mouse is here.
  function colour(mine) {
    if (source !== mine || !mine.grid.isConnected) return;
    pane.classList.toggle("sf-look-rejected", getComputedStyle(mine.cell, "::after").opacity === "1");
    requestAnimationFrame(() => colour(mine));
  }

  function over(cell, grid) {
    if (source?.cell === cell) return;
    close();
    if (cell) timer = setTimeout(() => open(cell, grid), REST_MS);
  }

  return { over, close, each: (action) => source?.films.forEach(action) };
})();
