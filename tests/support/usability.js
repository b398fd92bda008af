// What keeps people from using the page that is shown: contrast, names, width, language, headings. Returns sentences.
const [wantedLanguage] = arguments
const findings = []
const report = (rule, element, text) => findings.push(`${rule}: ${describe(element)} ${text}`)

function describe(element) {
  const id = element.id ? `#${element.id}` : ''
  return `<${element.localName}${id}> "${element.textContent.trim().slice(0, 40)}"`
}

function isShown(element) {
  if (!element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) return false
  const box = element.getBoundingClientRect()
  const isUnseen = element.closest('.unseen, .skip')
  return box.width > 0 && box.height > 0 && (!isUnseen || element === document.activeElement)
}

// Colours, by the formulas of WCAG 2.2.
function parse(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number)
  return { red, green, blue, alpha }
}

function over(top, bottom) {
  const mix = name => top[name] * top.alpha + bottom[name] * (1 - top.alpha)
  return { red: mix('red'), green: mix('green'), blue: mix('blue'), alpha: 1 }
}

function background(element) {
  const layers = []
  for (let one = element; one; one = one.parentElement) {
    const layer = parse(getComputedStyle(one).backgroundColor)
    layers.push(layer)
    if (layer.alpha === 1) break
  }
  const isDark = matchMedia('(prefers-color-scheme: dark)').matches
  const canvas = isDark ? parse('rgb(18, 18, 18)') : parse('rgb(255, 255, 255)')
  return layers.reduceRight((bottom, top) => over(top, bottom), canvas)
}

function luminance({ red, green, blue }) {
  const [r, g, b] = [red, green, blue].map(value => {
    const part = value / 255
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
  })
  return 0.2126 * r + 0.7152 * g + 0.0722 * b
}

function contrast(first, second) {
  const [light, dark] = [luminance(first), luminance(second)].sort((a, b) => b - a)
  return (light + 0.05) / (dark + 0.05)
}

function checkText(element) {
  const style = getComputedStyle(element)
  const size = parseFloat(style.fontSize)
  const isLarge = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700)
  const paper = background(element)
  const ratio = contrast(over(parse(style.color), paper), paper)
  if (ratio < (isLarge ? 3 : 4.5)) report('contrast', element, ratio.toFixed(2))
}

function checkField(element) {
  const paper = background(element.parentElement)
  const ratio = Math.max(contrast(parse(getComputedStyle(element).borderTopColor), paper), contrast(background(element), paper))
  if (ratio < 3) report('contrast of a field', element, ratio.toFixed(2))
}

const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement
  const text = node.textContent.trim()
  if (!text || element.closest('noscript, script, datalist') || !isShown(element)) continue
  checkText(element)
  const isForeign = element.closest('code, bdi, [lang="en"]:not(html), h2, h1')
  const unquoted = text.replace(/“[^”]*”/g, '') // commands stand in quotation marks
  if (wantedLanguage === 'zh-CN' && !isForeign && /[A-Za-z]{2,} [a-z]{2,}/.test(unquoted)) report('language', element, 'is English')
  if (wantedLanguage === 'en' && !element.closest('code, bdi, [lang="zh-CN"]') && /[\u4e00-\u9fff]/.test(text)) report('language', element, 'is Chinese')
}

for (const field of document.querySelectorAll('input:not([type=hidden]), textarea')) if (isShown(field)) checkField(field)

// Width: nothing scrolls sideways, and nothing is cut off.
if (document.documentElement.scrollWidth > innerWidth) report('width', document.body, `${document.documentElement.scrollWidth} pixels`)
for (const element of document.body.querySelectorAll('*')) {
  if (isShown(element) && element.getBoundingClientRect().right > innerWidth + 0.5) report('width', element, 'reaches beyond the window')
}

// Targets of a finger: WCAG 2.5.8 wants 24 pixels; a link within a sentence is exempt.
for (const element of document.querySelectorAll('button, .button, input:not([type=hidden]), textarea')) {
  const box = element.getBoundingClientRect()
  if (isShown(element) && Math.min(box.width, box.height) < 24) report('size', element, `${box.width} by ${box.height} pixels`)
}

// The structure that a screen reader reads out.
if (document.documentElement.lang !== wantedLanguage) report('language', document.documentElement, document.documentElement.lang)
if (!document.title) report('title', document.documentElement, 'has none')
if (document.querySelectorAll('h1').length !== 1) report('headings', document.body, 'has not one h1')
let level = 0
for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
  const next = Number(heading.localName[1])
  if (next > level + 1) report('headings', heading, `follows an h${level}`)
  level = next
}
for (const image of document.querySelectorAll('img:not([alt])')) report('name', image, 'has no alt')
const ids = [...document.querySelectorAll('[id]')].map(element => element.id)
for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) report('id', document.getElementById(id), 'occurs twice')
for (const label of document.querySelectorAll('label[for], [aria-labelledby]')) {
  const id = label.getAttribute('for') ?? label.getAttribute('aria-labelledby')
  if (!document.getElementById(id)) report('name', label, `refers to ${id}, which is not there`)
}
return findings
