// Loads the page anew without a flicker; without scripts the page's own refresh does it.
"use strict";
(() => {
  const every = Number(document.currentScript.dataset.every) * 1000;
  const again = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(location.href, { cache: "no-store" });
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = page.querySelector("main");
        if (answer.ok && fresh) document.querySelector("main").replaceWith(fresh);
        document.body.classList.toggle("stale", !answer.ok);
      } catch {
        document.body.classList.add("stale");
      }
    }
    setTimeout(again, every);
  };
  setTimeout(again, every);
})();
