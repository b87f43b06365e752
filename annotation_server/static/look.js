// A larger look at the clip under the mouse: at once the mosaic's own pixels, enlarged; then, where the review's own
// server serves it, the clip itself, bigger and with all its frames. Loaded before grid.js, which tells it of batches.
window.stillflowLook ||= (() => {
  const REST_MS = 250; // the mouse rests this long on a cell before it is enlarged
  const SCALE = 2.4; // of a cell
  let pane = null; // the enlarged cell's element
  let source = null; // { cell, grid, video }
  let timer = 0;

  function close() {
    clearTimeout(timer);
    pane?.remove();
    source?.closer?.removeAttribute("src"); // frees its decoder at once
    source?.closer?.load();
    pane = null;
    source = null;
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
    const canvas = document.createElement("canvas");
    const ratio = video.videoWidth / grid.offsetWidth; // mosaic pixels to a pixel of the page
    canvas.width = Math.round(cell.offsetWidth * ratio);
    canvas.height = Math.round(cell.offsetHeight * ratio);
    pane.append(canvas);
    grid.append(pane);
    source = { cell, grid, video, canvas, x: cell.offsetLeft * ratio, y: cell.offsetTop * ratio };
    draw(source);
    if (grid.dataset.closeups) closer(source);
  }

  function draw(mine) {
    if (source !== mine || !mine.grid.isConnected) return;
    const { canvas, video, x, y } = mine;
    pane.classList.toggle("sf-look-rejected", getComputedStyle(mine.cell, "::after").opacity === "1");
    canvas.getContext("2d").drawImage(video, x, y, canvas.width, canvas.height, 0, 0, canvas.width, canvas.height);
    requestAnimationFrame(() => draw(mine));
  }

  function closer(mine) {
    const video = document.createElement("video");
    Object.assign(video, { muted: true, loop: true, playsInline: true, autoplay: true });
    video.src = `${mine.grid.dataset.closeups}${mine.grid.dataset.token}-${mine.cell.dataset.cell}.mp4`;
    video.defaultPlaybackRate = video.playbackRate = mine.video.playbackRate;
    mine.closer = video;
    // Shown once it plays; where it cannot, the enlarged mosaic stays.
    video.play().then(() => { if (source === mine) pane.append(video); }, () => { mine.closer = null; });
  }

  function over(cell, grid) {
    if (source?.cell === cell) return;
    close();
    if (cell) timer = setTimeout(() => open(cell, grid), REST_MS);
  }

  return { over, close, each: (action) => { if (source?.closer) action(source.closer); } };
})();
