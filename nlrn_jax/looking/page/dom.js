// Text always goes in as text, so that no name can become markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

const unknown = "–";
const decibels = (psnr) => (psnr === undefined ? unknown : psnr === null ? "∞" : psnr.toFixed(2));
const similarity = (ssim) => (ssim === undefined || ssim === null ? unknown : ssim.toFixed(4));
const count = (number) => (number === null ? unknown : number.toLocaleString("en"));
const gained = (gain) => (gain === null ? unknown : (gain < 0 ? "−" : "+") + Math.abs(gain).toFixed(2));
const seconds = (time) => (time === null || time === undefined ? unknown : time < 100 ? time.toPrecision(3) : time.toFixed(0));
