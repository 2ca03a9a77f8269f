"use strict";
(async () => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const find = id => document.getElementById(id);
  const colours = {gray: "gray", inferno: "inferno", viridis: "viridis", RdBu_r: "blue2red"};
  const viewer = new niivue.Niivue({
    isRadiologicalConvention: true, isColorbar: false, logLevel: "error", backColor: [0, 0, 0, 1], crosshairColor: [1, 0.75, 0, 0.8],
    fontColor: [1, 0.75, 0, 1], crosshairWidth: 0.5, crosshairWidthUnit: "mm", loadingText: "", dragAndDropEnabled: false, isResizeCanvas: true,
  });
  const all = [...data.layers, ...data.overlays];
  let chosen = 0, images = [];

  const values = mm => {
    find("place").textContent = ["R", "A", "S"].map((name, k) => name + " " + mm[k].toFixed(1)).join(", ") + " mm";
    find("values").replaceChildren(...all.map((layer, k) => {
      const row = document.createElement("tr"), place = images[k].mm2vox([mm[0], mm[1], mm[2], 1]);
      const inside = place.every((v, axis) => v >= 0 && v < images[k].dimsRAS[axis + 1]);
      const stored = inside ? images[k].getValue(place[0], place[1], place[2]) : NaN, value = stored * layer.step;
      const named = Object.keys(layer.names).length ? layer.names[String(stored)] || "-" : null;
      const text = named || (Number.isNaN(value) ? "-" : String(Number(value.toPrecision(5))));
      for (const [content, style] of [[layer.label], [text, "number"], [layer.unit]]) {
        const cell = document.createElement("td");
        cell.textContent = content;
        if (style) cell.className = style;
        row.append(cell);
      }
      return row;
    }));
  };
  const redraw = () => {
    const layer = data.layers[chosen], image = images[chosen];
    const [low, high] = [Number(find("low").value), Number(find("high").value)];
    image.colormap = find("colours").value;  // resets the window
    if (low < high) { image.cal_min = low / layer.step; image.cal_max = high / layer.step; }
    viewer.updateGLVolume();
  };
  const choose = index => {
    const layer = data.layers[index], place = viewer.volumes.length ? [...viewer.frac2mm(viewer.scene.crosshairPos)] : null;
    chosen = index;
    find("layer").value = String(index);
    find("low").value = String(Number(layer.low.toPrecision(4)));
    find("high").value = String(Number(layer.high.toPrecision(4)));
    find("colours").value = colours[layer.colours] || "gray";
    viewer.volumes = [images[index], ...images.slice(data.layers.length)];
    viewer.setVolume(images[index], 0);
    redraw();
    if (place) viewer.scene.crosshairPos = viewer.mm2frac(place.slice(0, 3));
    viewer.drawScene();
    values([...viewer.frac2mm(viewer.scene.crosshairPos)]);
  };
  const cover = () => {
    const slider = find("opacity");
    if (slider && viewer.volumes.length > 1) viewer.setOpacity(1, Number(slider.value));
  };
  const move = (x, y, z) => { viewer.moveCrosshairInVox(x, y, z); values([...viewer.frac2mm(viewer.scene.crosshairPos)]); };
  const keys = {
    ArrowLeft: () => move(1, 0, 0), ArrowRight: () => move(-1, 0, 0), ArrowUp: () => move(0, 1, 0),
    ArrowDown: () => move(0, -1, 0), PageUp: () => move(0, 0, 1), PageDown: () => move(0, 0, -1),
    o: () => { const slider = find("opacity"); if (slider) { slider.value = Number(slider.value) ? "0" : "0.5"; cover(); } },
  };

  document.documentElement.classList.add("scripted");
  try {
    await viewer.attachToCanvas(find("canvas"));
    viewer.setInterpolation(true);
    viewer.setSliceType(viewer.sliceTypeMultiplanar);
    for (const [k, block] of [...document.querySelectorAll("script.volume")].entries()) {
      images.push(await niivue.NVImage.loadFromBase64({
        base64: block.textContent, name: "layer-" + k + ".nii.gz", cal_min: 0, cal_max: 1,
        colormap: k < data.layers.length ? "gray" : all[k].colours, opacity: k < data.layers.length ? 1 : 0,
      }));
    }
    choose(Math.max(0, data.layers.findIndex(layer => layer.unit === "ppb")));
  } catch (error) {
    find("fault").textContent = "The volumes cannot be drawn: " + error.message;
    return;
  }
  viewer.onLocationChange = place => values([...place.mm]);
  find("layer").addEventListener("input", event => choose(Number(event.target.value)));
  for (const name of ["low", "high", "colours"]) find(name).addEventListener("input", redraw);
  find("view").addEventListener("input", event => viewer.setSliceType(Number(event.target.value)));
  if (find("opacity")) find("opacity").addEventListener("input", cover);
  find("canvas").addEventListener("keydown", event => {
    const act = keys[event.key] || (Number(event.key) >= 1 && Number(event.key) <= data.layers.length ?
      () => choose(Number(event.key) - 1) : null);
    if (act) { event.preventDefault(); event.stopImmediatePropagation(); act(); }
  }, true);
  document.documentElement.dataset.ready = "yes";
})();
