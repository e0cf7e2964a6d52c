/** The page's elements, by id. @template {HTMLElement} [T=HTMLElement] @param {string} id @returns {any} */
export const el = (id) => document.getElementById(id);

/**
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {(Node | string)[]} children
 */
export function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

let toastTimer = 0;

/**
 * Show a short message that disappears; with an action, such as undo, if given.
 * @param {string} text
 * @param {{label: string, act: () => void}} [action]
 */
export function toast(text, action) {
  clearTimeout(toastTimer);
  const box = el("toast");
  const hide = () => box.replaceChildren();
  const button = action && make("button", { type: "button", textContent: action.label, onclick: () => (hide(), action.act()) });
  box.replaceChildren(make("span", { textContent: text }), ...(button ? [button] : []));
  toastTimer = setTimeout(hide, action ? 10_000 : 2_500);
}
