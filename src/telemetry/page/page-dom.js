const SVG = 'http://www.w3.org/2000/svg'

/** An element with attributes and children; texts become text, null is left out. */
export function element(name, attributes, ...children) {
  return fill(document.createElement(name), attributes, children)
}

export function svg(name, attributes, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children)
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, String(value))
  node.append(...children.filter((child) => child !== null))
  return node
}

/** Makes the children what is wanted and changes only what differs, so that focus, selection and what somebody has opened stay. */
export function update(parent, wanted) {
  const there = [...parent.childNodes]
  wanted.forEach((node, index) => {
    const old = there[index]
    if (old === undefined) parent.append(node)
    else if (!isAlike(old, node)) old.replaceWith(node)
    else if (node.nodeType === Node.TEXT_NODE) {
      if (old.data !== node.data) old.data = node.data
    } else {
      for (const { name, value } of node.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value)
      update(old, [...node.childNodes])
    }
  })
  for (const old of there.slice(wanted.length)) old.remove()
}

/** The same part of the same kind. */
function isAlike(old, node) {
  if (old.nodeName !== node.nodeName) return false
  if (node.nodeType === Node.TEXT_NODE) return true
  return ['data-part', 'aria-label', 'id'].every((name) => node.nodeName === 'svg' || old.getAttribute(name) === node.getAttribute(name))
}
