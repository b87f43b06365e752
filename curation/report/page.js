// Tables sort by the column whose title is pressed; once more turns the order round.
"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const titles = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  titles.forEach((title, column) => {
    title.querySelector("button").addEventListener("click", () => {
      const numeric = title.classList.contains("number");
      const before = title.getAttribute("aria-sort");
      // Large numbers are what one looks for first.
      const descending = before ? before === "ascending" : numeric;
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.key === undefined ? cell.textContent.trim() : Number(cell.dataset.key);
      };
      const rows = [...body.rows].map((row, place) => ({ row, place, key: key(row) }));
      rows.sort((a, b) => {
        const order = typeof a.key === "number" && typeof b.key === "number"
          ? a.key - b.key
          : String(a.key).localeCompare(String(b.key), "en", { numeric: true });
        return (descending ? -order : order) || a.place - b.place;
      });
      for (const other of titles) other.removeAttribute("aria-sort");
      title.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...rows.map(({ row }) => row));
    });
  });
}
