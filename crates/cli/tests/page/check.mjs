// Opens reports in Chromium: accessibility by axe-core in light and dark, no overflow of the page
// at 360 and 1280 pixels, no request, no script, black holes that are visible without colour.
//
// The screenshots are those of the page of the recorded cluster.
//
//     node check.mjs [--screenshots FOLDER] PAGE...
import { readFileSync, statSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import puppeteer from 'puppeteer-core'

const require = createRequire(import.meta.url)
const axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8')
const pages = process.argv.slice(2)
let folder = null
if (pages[0] === '--screenshots') folder = pages.splice(0, 2)[1]

let failed = 0
let passed = 0
function check(what, isRight, detail) {
  if (isRight) {
    passed += 1
    return
  }
  failed += 1
  console.error(`FAILED ${what}: ${detail}`)
}

const browser = await puppeteer.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
  // axe takes minutes for the page of a large cluster.
  protocolTimeout: 900_000,
})
try {
  for (const path of pages) await report(path)
} finally {
  await browser.close()
}
console.log(`report: ${passed} passed, ${failed} failed`)
process.exit(failed > 0 ? 1 : 0)

async function report(path) {
  const name = basename(path, '.html')
  const page = await browser.newPage()
  const requests = []
  const dialogs = []
  const violations = []
  page.on('request', (request) => requests.push(request.url()))
  page.on('dialog', (dialog) => { dialogs.push(dialog.message()); dialog.dismiss() })
  page.on('console', (message) => violations.push(message.text()))
  // axe has to run on a page that allows no script.
  await page.setBypassCSP(true)
  const url = pathToFileURL(resolve(path)).href
  for (const scheme of ['light', 'dark']) {
    await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }])
    for (const width of [360, 1280]) {
      const where = `${name} ${scheme} ${width}px`
      await page.setViewport({ width, height: 800 })
      await page.goto(url)
      const sizes = await page.evaluate(() =>
        [document.documentElement.scrollWidth, document.documentElement.clientWidth])
      check(`${where}: width`, sizes[0] <= sizes[1], `${sizes[0]} of ${sizes[1]} pixels`)
      const isShown = folder !== null && name === 'the_recorded_cluster'
      if (isShown && scheme === (width === 360 ? 'dark' : 'light')) {
        const file = `${folder}/report-${width}.png`
        await page.screenshot({ path: file, clip: { x: 0, y: 0, width, height: 1000 } })
        check(`${file}: size`, statSync(file).size < 200_000, statSync(file).size)
      }
      await page.evaluate(() => {
        for (const details of document.querySelectorAll('details')) details.open = true
      })
      await page.evaluate(axe)
      const result = await page.evaluate(() => window.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
        resultTypes: ['violations', 'incomplete'],
      }))
      for (const violation of result.violations) {
        const first = violation.nodes[0]
        console.error(`  ${violation.id}: ${violation.help}: ${first.html.slice(0, 200)}`)
      }
      const found = result.violations.map(({ id, nodes }) => `${id} (${nodes.length})`)
      check(`${where}: accessibility`, found.length === 0, found.join(', '))
      // axe leaves the signs of the legend to people, and texts that are scrolled out of sight,
      // which the wide page shows.
      const left = ['shortTextContent', 'nonBmp', ...(width === 360 ? ['elmPartiallyObscured'] : [])]
      const unknown = result.incomplete.filter(({ id }) => id === 'color-contrast')
        .flatMap(({ nodes }) => nodes)
        .filter(({ any }) => !left.includes(any[0]?.data?.messageKey))
      check(`${where}: contrast is known`, unknown.length === 0,
        unknown.map(({ html }) => html.slice(0, 200)).join(', '))
      console.log(`${where}: ${result.passes.length} accessibility rules passed, ` +
        `${result.violations.length} violated`)
    }
  }
  const structure = await page.evaluate(() => {
    const count = (selector) => document.querySelectorAll(selector).length
    const broken = [...document.querySelectorAll('a[href^="#"]')]
      .filter((link) => document.getElementById(link.getAttribute('href').slice(1)) === null)
    return {
      h1: count('h1'),
      scripts: count('script'),
      tables: count('table'),
      captions: count('table > caption'),
      headers: count('th:not([scope])'),
      broken: broken.length,
      holes: [...document.querySelectorAll('td.hole')].map((cell) => cell.textContent),
    }
  })
  check(`${name}: headings`, structure.h1 === 1, structure.h1)
  check(`${name}: scripts`, structure.scripts === 0, structure.scripts)
  check(`${name}: captions`, structure.tables === structure.captions, structure.captions)
  check(`${name}: scopes`, structure.headers === 0, structure.headers)
  check(`${name}: links`, structure.broken === 0, structure.broken)
  check(`${name}: holes`, structure.holes.every((text) => text.includes('✖')), structure.holes)
  // Closed details are printed, too.
  await page.goto(url)
  await page.emulateMediaType('print')
  await page.waitForFunction(() => matchMedia('print').matches)
  const printed = await page.evaluate(() => {
    const table = document.querySelector('details table')
    return table === null || table.checkVisibility({ contentVisibilityAuto: true })
  })
  check(`${name}: print`, printed, 'closed details are not printed')
  check(`${name}: requests`, requests.every((request) => request.startsWith('file:')), requests)
  check(`${name}: dialogs`, dialogs.length === 0, dialogs)
  check(`${name}: console`, violations.length === 0, violations)
  await page.close()
}
