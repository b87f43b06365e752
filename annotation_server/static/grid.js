// Runs in the curator's page: marks cells at once, speaks to Python through Visdom's own key events, and lets Python's
// state, which stands in the status pane, confirm or correct what it shows.
(() => {
  if (window.stillflow) return;

  const LETTERS = "abcdefghijklmnopqrstvwxyz"; // of the cells, in reading order; u goes back
  const CONFIRM_MS = 2000; // a mark that Python has not confirmed by then gives way to Python's state
  const FOCUS_MS = 25; // Visdom hears keys a moment after a pane has got its focus
  const RATES = [0.25, 0.5, 1, 1.5, 2, 3, 4];
  const STALL_MS = 5000; // a video that has not begun by then counts as one that cannot play
  const outbox = [];
  let view = null; // the batch on screen
  let hovered = null; // the cell under the mouse
  let rate = 1; // of playing; kept from batch to batch
  let flushing = false;

  // --- to Python ---------------------------------------------------------------------------------------------------

  function send(kind, ...values) {
    outbox.push([kind, view.token, ...values].join(":"));
    flush();
  }

  // Visdom forwards a keyup to Python if one of its panes has its focus, so a pane is given that first.
  function flush() {
    if (flushing || outbox.length === 0) return;
    const pane = (document.querySelector(".sf-status") || document.querySelector(".sf-grid, .sf-ended"))?.closest(".window");
    if (!pane) return; // sync() calls again when there is one
    if (document.querySelector(".window.focus")?.querySelector(".sf-status, .sf-grid, .sf-ended")) {
      const host = document.querySelector(".no-focus");
      for (const key of outbox.splice(0)) host.dispatchEvent(new KeyboardEvent("keyup", { key, bubbles: true }));
      return;
    }
    pane.click();
    flushing = true;
    setTimeout(() => { flushing = false; flush(); }, FOCUS_MS);
  }

  // --- the batch on screen -----------------------------------------------------------------------------------------

  function begin(grid) {
    if (view) {
      pause();
      release(view.grid.querySelector("video"));
    }
    const seen = view?.token === grid.dataset.token ? view.seen : 0; // the pane was closed and came back
    const started = view?.token === grid.dataset.token && view.started;
    view = { grid, token: grid.dataset.token, seen, since: null, started, pending: new Map(), last: null };
    hovered = null;
    window.stillflowLook.close();
    const mine = view;
    const video = grid.querySelector("video");
    const fail = () => {
      if (view !== mine || mine.failed) return;
      mine.failed = true;
      grid.classList.add("sf-failed");
      send("failed");
      run();
    };
    if (!video) return fail();
    const play = () => {
      if (view !== mine) return;
      if (!mine.started) send("playing");
      mine.started = true;
      mine.failed = false;
      grid.classList.remove("sf-failed");
      run();
    };
    video.addEventListener("playing", play);
    video.addEventListener("error", fail);
    for (const type of ["pause", "waiting"]) video.addEventListener(type, () => { if (view === mine && !mine.failed) pause(); });
    video.defaultPlaybackRate = video.playbackRate = rate;
    video.play().then(play, fail);
    // A tab in the background may be kept from playing; that is no failure.
    const stalled = () => {
      if (view !== mine || mine.started) return;
      if (document.hidden) setTimeout(stalled, STALL_MS);
      else fail();
    };
    setTimeout(stalled, STALL_MS);
  }

  // A video that left the page keeps its decoder and its frames until the browser collects it; this frees them now.
  function release(video) {
    video?.removeAttribute("src");
    video?.load();
  }

  function run() {
    if (view.since === null && !document.hidden) view.since = performance.now();
  }

  function pause() {
    if (view.since !== null) view.seen += performance.now() - view.since;
    view.since = null;
  }

  function seenMs() {
    return Math.round(view.seen + (view.since === null ? 0 : performance.now() - view.since));
  }

  // --- marks -------------------------------------------------------------------------------------------------------

  // Python's marks: cell -> reason (0: none given), or null where they are of another batch.
  function confirmed() {
    const status = document.querySelector(".sf-status");
    if (!status || !view || status.dataset.token !== view.token) return null;
    return new Map(status.dataset.marked.split(",").filter(Boolean).map((mark) => mark.split(":").map(Number)));
  }

  // What the page shows of a cell now: undefined where it is not marked.
  function reasonOf(index) {
    const pending = view.pending.get(index);
    return pending ? pending.reason : (confirmed() || new Map()).get(index);
  }

  function set(cell, reason) {
    const index = Number(cell.dataset.cell);
    const marked = reason !== undefined;
    cell.classList.toggle("sf-on", marked);
    cell.classList.toggle("sf-off", !marked);
    cell.style.setProperty("--sf-reason", marked && reason ? `"${reasonNames()[reason - 1]}"` : "none");
    view.pending.set(index, { reason, cell, at: performance.now() });
    view.last = marked ? cell : null;
    setTimeout(settle, CONFIRM_MS + 50);
    send("cell", index, marked ? 1 : 0, ...(reason ? [reason] : []));
  }

  function toggle(cell) {
    set(cell, reasonOf(Number(cell.dataset.cell)) === undefined ? 0 : undefined);
  }

  function reasonNames() {
    return [...document.querySelectorAll(".sf-reasons li")].map((item) => item.lastChild.textContent.trim());
  }

  // For the cell under the mouse, else for the one marked last; the same reason again takes it away, not the mark.
  function giveReason(number) {
    const cell = hovered || view.last;
    if (!cell || number > reasonNames().length) return false;
    set(cell, reasonOf(Number(cell.dataset.cell)) === number ? 0 : number);
    return true;
  }

  // Python's style sheet shows its state under the page's own marks: those that agree with it, or are too old, go.
  function settle() {
    const marks = confirmed();
    if (!marks) return;
    for (const [index, { reason, cell, at }] of view.pending) {
      if (marks.get(index) === reason || performance.now() - at > CONFIRM_MS) {
        cell.classList.remove("sf-on", "sf-off");
        cell.style.removeProperty("--sf-reason");
        view.pending.delete(index);
      }
    }
  }

  // --- playing -----------------------------------------------------------------------------------------------------

  function eachVideo(action) {
    const video = view.grid.querySelector("video");
    if (video) action(video);
    window.stillflowLook.each(action);
  }

  function pauseOrPlay() {
    const paused = view.grid.querySelector("video")?.paused;
    eachVideo((video) => { if (paused) video.play(); else video.pause(); });
    if (!paused) pause(); // not only when the video says so, a moment later
    view.grid.classList.toggle("sf-paused", !paused);
  }

  function speed(step) {
    rate = RATES[Math.max(0, Math.min(RATES.indexOf(rate) + step, RATES.length - 1))];
    eachVideo((video) => { video.defaultPlaybackRate = video.playbackRate = rate; });
    view.grid.dataset.rate = rate === 1 ? "" : `${rate}x`;
  }

  // --- input -------------------------------------------------------------------------------------------------------

  function ours(event) {
    if (!event.isTrusted || !view || event.ctrlKey || event.altKey || event.metaKey) return false;
    return !event.target.closest?.("input, textarea, select, [contenteditable]");
  }

  function press(key) {
    if (key === "Enter") send("enter", seenMs());
    else if (key === "Backspace") send("clear");
    else if (key === "u") send("back");
    else if (key === "Escape") send("stop");
    else if (key === " ") pauseOrPlay();
    else if (key === "<" || key === ",") speed(-1);
    else if (key === ">" || key === ".") speed(1);
    else if (key >= "1" && key <= "9") return giveReason(Number(key));
    else if (key === "?") document.documentElement.classList.toggle("sf-help");
    else {
      const letter = key.length === 1 ? LETTERS.indexOf(key) : -1;
      const cell = letter < 0 ? null : view.grid.querySelector(`.sf-cell[data-cell="${letter}"]`);
      if (cell) toggle(cell);
      return letter >= 0;
    }
    return true;
  }

  window.addEventListener("keydown", (event) => {
    if (!ours(event)) return;
    event.stopPropagation(); // else Visdom sends the bare key as well
    // A key that is held down acts once: only a fresh press of Enter confirms a batch.
    if (event.repeat ? event.key.length === 1 || event.key === "Enter" || event.key === "Backspace" : press(event.key)) {
      event.preventDefault();
    }
  }, true);
  for (const type of ["keypress", "keyup"]) {
    window.addEventListener(type, (event) => { if (ours(event)) event.stopPropagation(); }, true);
  }
  window.addEventListener("click", (event) => {
    const cell = event.target.closest?.(".sf-cell");
    if (cell && view?.grid.contains(cell)) toggle(cell);
  }, true);
  window.addEventListener("mouseover", (event) => {
    const cell = event.target.closest?.(".sf-cell");
    hovered = cell && view?.grid.contains(cell) ? cell : null;
    window.stillflowLook.over(hovered, view?.grid);
  }, true);
  document.addEventListener("mouseleave", () => { hovered = null; window.stillflowLook.close(); });

  document.addEventListener("visibilitychange", () => {
    if (!view) return;
    const video = view.grid.querySelector("video");
    if (document.hidden) pause();
    else if (view.failed || (video && !video.paused)) run();
  });

  // --- Visdom's page -----------------------------------------------------------------------------------------------

  function sync() {
    const grid = document.querySelector(".sf-grid");
    const ended = document.querySelector(".sf-ended");
    if (grid && grid !== view?.grid) begin(grid);
    if (ended && !ended.dataset.told) {
      ended.dataset.told = "yes";
      view = null;
      outbox.push(`bye:${ended.dataset.token}`);
    }
    const bar = document.querySelector(".navbar-form");
    if (bar) document.documentElement.style.setProperty("--sf-top", `${Math.ceil(bar.getBoundingClientRect().bottom + 8)}px`);
    settle();
    flush();
  }

  // Visdom never connects again by itself: when the review is there again, the page is loaded anew.
  async function watch() {
    const lost = [...document.querySelectorAll("button.btn-danger")].some((button) => button.textContent === "offline");
    document.documentElement.classList.toggle("sf-offline", lost);
    if (!lost) return;
    const env = decodeURIComponent(location.pathname.split("/env/")[1] || "");
    try {
      const answer = await fetch(location.href, { cache: "no-store" });
      // The address answers before the environment exists; the page would then show another one.
      if (answer.ok && (await answer.text()).includes(`ACTIVE_ENV = '${env}'`)) location.reload();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // TypeError: nobody answers yet
    }
  }

  window.stillflow = { seenMs: () => (view ? seenMs() : 0) };
  new MutationObserver(sync).observe(document.getElementById("app"), { childList: true, subtree: true });
  window.addEventListener("resize", sync);
  setInterval(watch, 1000);
  sync();
})();
