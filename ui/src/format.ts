/** Numbers and amounts as people read them, and Kubernetes' quantities as numbers. */

const whole = new Intl.NumberFormat('en')
const short = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 })

/** `5000` → `5,000`. */
export function count(n: number): string {
  return whole.format(n)
}

/** `1 node`, `2 nodes`. */
export function counted(n: number, one: string, many = `${one}s`): string {
  return `${count(n)} ${n === 1 ? one : many}`
}

/** A share as a percentage; one that is not zero is never shown as zero, nor one below the whole as the whole. */
export function percent(share: number): string {
  if (!Number.isFinite(share)) return '–'
  const rounded = Math.round(share * 100)
  if (rounded === 0 && share > 0) return '< 1 %'
  if (rounded === 100 && share < 1) return '99 %'
  return `${count(rounded)} %`
}

const BINARY = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi', 'Ei']

function isBytes(resource: string): boolean {
  return /memory|storage|hugepages/.test(resource)
}

/** An amount of a resource in the scheduler's units (cpu: thousandths of a core; memory and storage: bytes): `6.5`, `20 Gi`. */
export function amount(resource: string, n: number): string {
  if (resource === 'cpu') return short.format(n / 1000)
  if (!isBytes(resource)) return short.format(n)
  let [value, unit] = [n, 0]
  while (Math.abs(value) >= 1024 && unit < BINARY.length - 1) [value, unit] = [value / 1024, unit + 1]
  return unit === 0 ? short.format(value) : `${short.format(value)} ${BINARY[unit]}`
}

/** `6.5 of 8 cores`, with one unit where both have the same. */
export function amountOf(resource: string, part: number, all: number): string {
  const [left, right] = [amount(resource, part), amount(resource, all)]
  if (resource === 'cpu') return `${left} of ${right} ${right === '1' ? 'core' : 'cores'}`
  const unit = right.split(' ')[1]
  return `${unit && left.endsWith(` ${unit}`) ? left.slice(0, -unit.length - 1) : left} of ${right}`
}

const SUFFIXES: Record<string, number> = {
  n: 1e-9, u: 1e-6, m: 1e-3, '': 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15, E: 1e18,
  Ki: 2 ** 10, Mi: 2 ** 20, Gi: 2 ** 30, Ti: 2 ** 40, Pi: 2 ** 50, Ei: 2 ** 60,
}

/** A quantity of Kubernetes as a number: `500m` → 0.5. `NaN` if it is none. */
export function quantity(text: string | number | undefined): number {
  if (text === undefined) return 0
  const [, number, suffix] = /^([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?i?)$/.exec(String(text)) ?? []
  const factor = suffix === undefined ? undefined : SUFFIXES[suffix]
  return number === undefined || factor === undefined ? NaN : Number(number) * factor
}

/** A quantity in the scheduler's units of the resource. */
export function units(resource: string, text: string | number | undefined): number {
  return quantity(text) * (resource === 'cpu' ? 1000 : 1)
}

const SPANS: [number, string][] = [[86_400, 'd'], [3_600, 'h'], [60, 'm'], [1, 's']]

/** A length of time in its two largest units: `14 m`, `2 h 5 m`. */
export function span(seconds: number): string {
  let rest = Math.max(0, Math.round(seconds))
  const parts: string[] = []
  for (const [length, unit] of SPANS) {
    const n = Math.floor(rest / length)
    rest -= n * length
    if (n > 0) parts.push(`${n} ${unit}`)
    else if (parts.length) break
    if (parts.length === 2) break
  }
  return parts.join(' ') || '0 s'
}

/** A timestamp as people read it, in UTC as the server tells it. */
export function utc(timestamp: string): string {
  return `${timestamp.slice(0, 19).replace('T', ' ')} UTC`
}

/** The time since a timestamp. */
export function age(timestamp: string | undefined, now = Date.now()): string {
  const then = Date.parse(timestamp ?? '')
  return Number.isNaN(then) ? '–' : span((now - then) / 1000)
}
