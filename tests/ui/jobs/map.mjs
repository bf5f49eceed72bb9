/** Jobs of the map, of pods that wait, and of access. */

export const jobs = [
  [
    'sums on the map are those of the overview',
    async ({ page, open, call, assert }) => {
      await open('map')
      const { groups, totals } = await call('overview?group=topology.kubernetes.io/zone')
      const told = await page.$$eval('section.group', (sections) =>
        sections.map((section) => [section.querySelector('h2').textContent, ...[...section.querySelectorAll('.sums > span')].slice(0, 2).map((span) => span.textContent)]),
      )
      const number = (n) => n.toLocaleString('en')
      assert.deepEqual(told, groups.map(({ name, nodes, pods }) => [name, `${number(nodes)} nodes`, `${number(pods)} pods`]))
      assert.match(await page.textContent('.legend'), new RegExp(`${number(totals.nodes)} nodes · ${number(totals.pods)} pods · ${number(totals.pending)} pending`))
    },
  ],
  [
    'a node is found and opened by keyboard alone',
    async ({ page, open, assert, axe }) => {
      await open('map')
      await page.keyboard.press('/')
      await page.keyboard.type('cpu>80')
      await page.waitForFunction(() => location.hash.includes('filter='))
      for (let at = 0; at < 20; at++) {
        await page.keyboard.press('Tab')
        if (await page.evaluate(() => document.activeElement.tagName === 'CANVAS')) break
      }
      await page.keyboard.press('ArrowRight')
      const looked = await page.textContent('.looked')
      assert.match(looked, /^node-\d+ · cpu \d+ %/)
      await page.keyboard.press('Enter')
      await page.waitForSelector('aside.side')
      assert.equal(await page.textContent('aside.side h2'), looked.split(' · ')[0])
      await page.getByText(/^Pods here/).waitFor()
      await axe(page)
      await page.keyboard.press('Escape')
      await page.waitForSelector('aside.side', { state: 'detached' })
      assert.ok(await page.evaluate(() => document.activeElement.tagName === 'CANVAS'), 'the focus is where it was')
    },
  ],
  [
    'the table shows the same nodes, sorted, and opens one',
    async ({ page, open, call, assert, axe }) => {
      await open('map?view=table&sort=-cpu')
      const { nodes } = await call('overview')
      const grid = page.getByRole('grid')
      assert.equal(await grid.getAttribute('aria-rowcount'), String(nodes.name.length + 1))
      const shares = nodes.name.map((name, at) => [nodes.requested.cpu[at] / nodes.allocatable.cpu[at], name]).sort(([a], [b]) => b - a)
      const firstRow = await page.textContent('[role=row][aria-rowindex="2"]')
      assert.ok(firstRow.includes(`${Math.min(Math.round(shares[0][0] * 100), shares[0][0] < 1 ? 99 : 1000)} %`), `${firstRow} begins with ${shares[0]}`)
      await grid.focus()
      await page.keyboard.press('End')
      await page.waitForSelector(`[aria-rowindex="${nodes.name.length + 1}"]`)
      await page.keyboard.press('Enter')
      await page.waitForSelector('aside.side')
      await axe(page)
    },
  ],
  [
    'a scroll through all rows keeps the document small',
    async ({ page, open, assert }) => {
      await open('map?view=table')
      const most = await page.evaluate(async () => {
        const grid = document.querySelector('[role=grid]')
        let most = 0
        for (let top = 0; top < grid.scrollHeight; top += 700) {
          grid.scrollTop = top
          await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))
          most = Math.max(most, document.querySelectorAll('*').length)
        }
        return most
      })
      assert.ok(most <= 3000, `${most} elements`)
    },
  ],
  [
    'pods light up by their labels',
    async ({ page, open, call, assert }) => {
      await open('map?pods=app%3Dweb')
      const { nodes } = await call('overview?podSelector=app%3Dweb')
      const lit = nodes.matching.reduce((sum, n) => sum + n, 0)
      await page.waitForFunction((text) => document.querySelector('.legend').textContent.includes(text), `${lit.toLocaleString('en')} pods lit up`)
    },
  ],
  [
    'a node tells why a pod is not on it',
    async ({ page, open, assert }) => {
      await open('map?node=node-00000')
      await page.getByLabel('Pod', { exact: true }).fill('batch/huge-0')
      await page.keyboard.press('Enter')
      await page.waitForSelector('aside.side table')
      assert.match(await page.textContent('aside.side'), /does not fit here.*Insufficient cpu.*cpu12/s)
    },
  ],
  [
    'a change is on the map without being asked for',
    async ({ page, open, url, assert }) => {
      await open('map?filter=is:cordoned')
      const before = await page.textContent('.legend')
      const patch = (unschedulable) =>
        fetch(new URL('api/v1/nodes/node-00001', url), {
          method: 'PATCH',
          headers: { 'content-type': 'application/merge-patch+json' },
          body: JSON.stringify({ spec: { unschedulable } }),
        })
      assert.equal((await patch(true)).status, 200)
      await page.waitForFunction((before) => document.querySelector('.legend').textContent !== before, before)
      assert.equal((await patch(null)).status, 200)
      await page.waitForFunction((before) => document.querySelector('.legend').textContent === before, before)
    },
  ],
  [
    'pods that wait are grouped by reasons and lead to their explanation',
    async ({ page, open, call, assert }) => {
      await open('pending')
      const { groups, pods } = await call('pending')
      assert.match(await page.textContent('main p[role=status]'), new RegExp(`^${pods} pods wait`))
      const told = await page.$$eval('.waiting .head strong', (heads) => heads.map((head) => head.textContent))
      assert.deepEqual(told, groups.map(({ count }) => (count === 1 ? '1 pod' : `${count} pods`)))
      assert.ok(groups.length >= 3)
      const link = await page.getAttribute('.waiting .pods a', 'href')
      assert.match(link, /^#\/explain\/[^/]+\/[^/]+$/)
    },
  ],
  [
    'access answers a question by keyboard alone',
    async ({ page, open, assert }) => {
      await open('access')
      await page.getByLabel('resource').fill('deployments.apps')
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => /✓ yes/.test(document.querySelector('form [role=status]').textContent))
      assert.match(await page.textContent('main'), /system:admin/)
    },
  ],
]
