// From the whole image to one location: where the patches of a photograph are, and what they say, for every size of window.
"use strict";
Moving.start("window-to-location", async still => {
  const [run, places, patches, photo] = await Promise.all([Moving.json("window.json"), Moving.picture("window_places.png"), Moving.picture("window_patches.webp"), Moving.picture("window_photo.webp")]);
  const {make} = Moving, S = run.side, H = run.locations, n = run.windows.length;
  const canvas = () => make("canvas", {width: S, height: S, role: "img", className: "pixels"});
  const left = canvas(), right = canvas();
  const slider = make("input", {type: "range", min: 0, max: n - 1, value: 0, "aria-label": "Size of the window"});
  const said = make("output", {"aria-live": "polite"});

  function show(i) {
    const w = run.windows[i], a = left.getContext("2d"), b = right.getContext("2d"), off = (S - H) / 2;
    a.globalAlpha = .45; a.fillStyle = "#fff"; a.fillRect(0, 0, S, S); a.drawImage(photo, 0, 0, S, S); a.globalAlpha = 1;
    a.drawImage(places, 0, i * H, H, H, off, off, H, H);
    b.drawImage(patches, 0, i * S, S, S, 0, 0, S, S);
    const size = w.side === null ? "The whole image: one patch, the paper's posterior" :
      w.side === 1 ? `One location: ${w.patches.toLocaleString("en")} patches, one everywhere, which is soft k-means` : `Windows of ${w.side}×${w.side} locations: ${w.patches.toLocaleString("en")} patches`;
    said.textContent = size + ".";
    left.setAttribute("aria-label", `The photograph, and where its patches are. ${size}`);
    right.setAttribute("aria-label", `The patches, put where they are. ${size}`);
    slider.value = i;
    slider.setAttribute("aria-valuetext", size);
  }
  slider.oninput = () => show(+slider.value);
  show(0);
  return make("div", {className: "window-to-location"}, make("div", {className: "side"}, left), make("div", {className: "side"}, right),
    make("div", {className: "controls wide"}, make("span", {textContent: "image"}), slider, make("span", {textContent: "location"})), said);
});
