import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineConfig, type Plugin } from 'vite'

const KINDS: Record<string, string> = {
  css: 'text/css; charset=utf-8',
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  svg: 'image/svg+xml',
}

/** Writes `files.rs`: every built file with its type and the hash of its bytes, for `src/ui/mod.rs`. */
function table(): Plugin {
  return {
    name: 'table',
    closeBundle() {
      const dist = join(import.meta.dirname, 'dist')
      const names = readdirSync(dist, { recursive: true, encoding: 'utf8' })
        .filter((name) => Object.hasOwn(KINDS, name.split('.').pop() ?? ''))
        .sort()
      const rows = names.map((name) => {
        const hash = createHash('sha256').update(readFileSync(join(dist, name))).digest('hex').slice(0, 16)
        const kind = KINDS[name.split('.').pop() ?? '']
        return `    File::new("${name}", "${kind}", "\\"${hash}\\"", include_bytes!("${name}")),\n`
      })
      writeFileSync(join(dist, 'files.rs'), `// Written by ui/vite.config.ts.\nvec![\n${rows.join('')}]\n`)
    },
  }
}

export default defineConfig({
  base: './',
  plugins: [table()],
  build: {
    assetsDir: '',
    target: ['chrome123', 'firefox120', 'safari17.5'],
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 600,
    reportCompressedSize: false,
    // Libraries are files of their own, whose names stay when the page changes.
    rolldownOptions: {
      output: {
        codeSplitting: {
          groups: [
            { name: 'preact', test: /node_modules\/@?preact\// },
            { name: 'editor', test: /node_modules\// },
          ],
        },
      },
    },
  },
  // npm run dev: the page from here, its calls from a server on port 8080.
  server: { port: 18201, proxy: { '^/(?!src|node_modules|@|index|[?]|$)': process.env['PODBERTH_URL'] ?? 'http://127.0.0.1:8080' } },
})
