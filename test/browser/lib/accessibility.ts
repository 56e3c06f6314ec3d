/**
 * What a page owes to people who don't see it well, or at all. Each function runs in the page and names what is wrong.
 * @module
 */

/** Controls without a name: by a label, `aria-label`, their text, or a title. */
export function namelessControls(): string[] {
  return [...document.querySelectorAll<HTMLElement>('input, select, textarea, button, a[href], [role=button], summary')]
    .filter((control) => {
      const labels =
        control instanceof HTMLInputElement || control instanceof HTMLSelectElement || control instanceof HTMLTextAreaElement
          ? control.labels
          : null
      const texts = [
        control.getAttribute('aria-label'),
        control instanceof HTMLInputElement ? '' : control instanceof HTMLSelectElement ? '' : control.textContent,
      ]
      return ![...texts, ...[...(labels ?? [])].map((label) => label.textContent)].some((text) => text?.trim())
    })
    .map((control) => `no name: ${control.outerHTML.slice(0, 120)}`)
}

/** Headings: one of the first level, and no level left out on the way down. */
export function headingFlaws(): string[] {
  const levels = [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')].map(({ tagName }) => Number(tagName[1]))
  const flaws = levels.flatMap((level, at) =>
    level > (levels[at - 1] ?? 0) + 1 ? [`a heading of level ${level} after ${levels[at - 1] ?? 'none'}`] : [],
  )
  return levels.filter((level) => level === 1).length === 1
    ? flaws
    : [...flaws, `headings of level 1: ${levels.filter((level) => level === 1).length}`]
}

/**
 * Texts whose contrast with what is behind them is below 4.5:1 (WCAG 2.2, 1.4.3). What is disabled, or hidden from everybody, is
 * left out. Grounds must be plain colours.
 */
export function contrastFlaws(): string[] {
  const NEEDED = 4.5
  type Colour = readonly [number, number, number, number]
  const read = (text: string): Colour => {
    const [r = 0, g = 0, b = 0, a = 1] = (text.match(/[\d.]+/g) ?? []).map(Number)
    return [r, g, b, a]
  }
  const over = ([r, g, b, a]: Colour, below: Colour): Colour => [
    r * a + below[0] * (1 - a),
    g * a + below[1] * (1 - a),
    b * a + below[2] * (1 - a),
    1,
  ]
  const groundOf = (element: Element | null): Colour => {
    if (!element) return [255, 255, 255, 1]
    const own = read(getComputedStyle(element).backgroundColor)
    return own[3] === 1 ? own : over(own, groundOf(element.parentElement))
  }
  const luminance = (colour: Colour): number => {
    const [r, g, b] = [colour[0], colour[1], colour[2]].map((value) => {
      const part = value / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    }) as [number, number, number]
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const flaws = new Set<string>()
  const check = (element: Element, colour: string, text: string): void => {
    const ground = groundOf(element)
    const [light, dark] = [luminance(over(read(colour), ground)), luminance(ground)].sort((a, b) => b - a) as [number, number]
    const contrast = (light + 0.05) / (dark + 0.05)
    if (contrast < NEEDED)
      flaws.add(`${contrast.toFixed(2)}: ${element.tagName} ${element.className} "${text.trim().slice(0, 40)}"`)
  }
  for (const element of document.querySelectorAll('body *')) {
    if (element.closest(':disabled') || !element.checkVisibility({ opacityProperty: true, visibilityProperty: true })) continue
    const style = getComputedStyle(element)
    const text = [...element.childNodes]
      .filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.textContent)
      .join('')
    if (text.trim() !== '') check(element, element instanceof SVGElement ? style.fill : style.color, text)
    if ((element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement) && element.value !== '')
      check(element, style.color, element.value)
    const label = getComputedStyle(element, '::before')
    if (label.content.startsWith('"')) check(element, label.color, label.content)
  }
  return [...flaws]
}
