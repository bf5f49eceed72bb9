/** Jobs of the frame: keys, states, places where the page may stand. */

const focused = (page) => page.evaluate(() => document.activeElement?.outerHTML.slice(0, 80))

export const jobs = [
  [
    'keys lead to pages, to the filter and to the list of keys',
    async ({ page, open, settled, assert }) => {
      await open('map')
      await page.keyboard.press('?')
      await page.waitForSelector('dialog[open]')
      assert.match(await page.textContent('dialog'), /Go to Pending/)
      await page.keyboard.press('Escape')
      await page.waitForSelector('dialog', { state: 'detached' })
      await page.keyboard.press('/')
      assert.match(await focused(page), /data-filter|type="search"/)
      await page.keyboard.type('g p')
      assert.match(page.url(), /#\/map/, 'what is typed into a field is no key')
      await page.keyboard.press('Escape')
      await page.evaluate(() => document.activeElement.blur())
      await page.keyboard.press('g')
      await page.keyboard.press('p')
      await page.waitForFunction(() => location.hash.startsWith('#/pending'))
      await settled(page)
      assert.match(await focused(page), /<main/, 'the new page has the focus')
    },
  ],
  [
    'the first Tab skips to the page',
    async ({ page, open, assert }) => {
      await open('access')
      await page.keyboard.press('Tab')
      assert.match(await focused(page), /class="skip"/)
      await page.keyboard.press('Enter')
      assert.match(await focused(page), /<main/)
    },
  ],
  [
    'colours are chosen and stay chosen',
    async ({ page, open, assert }) => {
      await open('map')
      const background = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor)
      const light = await background()
      await page.getByLabel('Colours').selectOption('dark')
      const dark = await background()
      assert.notEqual(light, dark)
      await page.reload()
      assert.equal(await background(), dark)
    },
    { colorScheme: 'light' },
  ],
  [
    'a page that there is not says so',
    async ({ page, home, assert }) => {
      await page.goto(`${home}#/nonsense`)
      await page.waitForSelector('main .note')
      assert.match(await page.textContent('main'), /no such page/)
    },
  ],
  [
    'the page works behind a path prefix and for another cluster',
    async ({ page, prefixed, settled, assert, faults }) => {
      const proxy = await prefixed('/tools/podberth/')
      try {
        await page.goto(`${proxy.url}ui/#/map`)
        await settled(page)
        assert.match(await page.textContent('main .legend'), /nodes/)
        await page.goto(`${proxy.url}clusters/other/ui/#/map`)
        await settled(page)
        assert.equal(await page.getByLabel('Cluster').inputValue(), 'other')
        // It says that there is nothing, or that there is no such cluster.
        assert.match(await page.textContent('main'), /no nodes yet|cluster/i)
        faults.splice(0)
        await page.getByLabel('Cluster').selectOption('default')
        await page.waitForFunction(() => !location.pathname.includes('clusters'))
        await settled(page)
        assert.equal(new URL(page.url()).pathname, '/tools/podberth/ui/')
      } finally {
        proxy.close()
      }
    },
  ],
  [
    'the page says what it may not see, and takes a token',
    async ({ page, open, assert, faults, settled }) => {
      const status = (code, reason, message) => ({
        status: code,
        contentType: 'application/json',
        body: JSON.stringify({ kind: 'Status', apiVersion: 'v1', metadata: {}, status: 'Failure', reason, message, code }),
      })
      const forbidden = status(403, 'Forbidden', 'overviews.podberth.io is forbidden: User "ann" cannot list')
      await page.route('**/overview*', (route) => route.fulfill(forbidden))
      await open('map')
      assert.match(await page.textContent('main'), /who you are.*User "ann" cannot list/s, 'a token may help')
      await page.getByLabel('Token').fill('pbt_ann')
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => /may not see this.*User "ann" cannot list/s.test(document.querySelector('main').textContent))
      await page.unroute('**/overview*')
      await page.evaluate(() => sessionStorage.clear())
      let sent
      await page.route('**/*', (route) => {
        const headers = route.request().headers()
        if (route.request().url().includes('/ui/')) return route.continue()
        sent = headers.authorization
        return sent ? route.continue({ headers: { ...headers, authorization: '' } }) : route.fulfill(status(401, 'Unauthorized', 'Unauthorized'))
      })
      await page.goto('about:blank')
      await page.goBack()
      await page.waitForSelector('form.token')
      await page.getByLabel('Token').first().fill('pbt_secret')
      await page.keyboard.press('Enter')
      await settled(page)
      await page.waitForSelector('main .legend')
      assert.equal(sent, 'Bearer pbt_secret')
      assert.deepEqual(await page.evaluate(() => [document.cookie, JSON.stringify(localStorage).includes('secret'), JSON.stringify(sessionStorage).includes('secret')]), ['', false, true])
      faults.splice(0)
    },
  ],
  [
    'the page says when the server is away, and what is shown is stale',
    async ({ page, open, assert, faults }) => {
      await open('map')
      await page.waitForSelector('.live.live')
      await page.context().setOffline(true)
      await page.evaluate(() => { location.hash = '#/map?group=-' })
      await page.waitForFunction(() => /does not reply/.test(document.querySelector('main').textContent))
      await page.context().setOffline(false)
      await page.waitForSelector('.live.live', { timeout: 30_000 })
      await page.waitForFunction(() => !/does not reply/.test(document.querySelector('main').textContent))
      assert.ok(faults.every((fault) => /ERR_INTERNET_DISCONNECTED/.test(fault)), faults.join())
      faults.splice(0)
    },
  ],
]
