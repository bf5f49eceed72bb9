/** The matrix of an explanation: every node by every predicate and priority, in columns as `POST /explain?view=columns` sends it. */

export interface PodName { namespace: string; name: string }
export interface PolicyUsed { name: string; revision: number; profile?: string; release: string }
export interface DecidingLevel { level: number; priority: string }
export interface PredicateColumn { name: string; plugin: string; rejected: number }
export interface PriorityColumn { name: string; plugin: string; weight: number; tolerance?: number }
export interface Victim { namespace: string; name: string; priority: number }
export interface Candidate { node: string; victims: Victim[]; pdbViolations: number }
export interface Suggestion { text: string; node?: string; pods?: number }
export interface Pattern { verdicts: string; count: number; fits: boolean; nodes: number[]; reasons: number[] }

export interface Explanation {
  pod: PodName
  selected?: string | null
  decidedBy?: DecidingLevel
  message: string
  preemption?: { candidates: Candidate[]; selected: string | null; message: string }
  suggestions?: Suggestion[]
  boundTo?: { node: string; fits: boolean; isBest: boolean; rank?: number }
  policy: PolicyUsed
  snapshotRevision: number
  extenderErrors?: { extender: string; verb: string; message: string }[]
  template?: { kind: string; namespace?: string; name: string }
  seed: number
  nodes: string[]
  predicates: PredicateColumn[]
  verdicts: string[]
  reasons: string[][]
  why: number[][]
  priorities: PriorityColumn[]
  scores: (number | null)[][]
  total: number[]
  rank: (number | null)[]
  lostAt?: (number | null)[]
  patterns: Pattern[]
}

/** `true` for the namespace of pods whose names the caller may not see. */
export function isHidden(namespace: string): boolean {
  return namespace === 'namespace-hidden'
}

/** A predicate as people tell it from others: the members of a group name by their plugins. */
export function labelOf(predicate: PredicateColumn): string {
  return predicate.name === 'GeneralPredicates' ? predicate.plugin : predicate.name
}

/** A priority without the word that all of them have. */
export function shortOf(priority: string): string {
  return priority.replace(/Priority$/, '') || priority
}

/** A verdict as one character: fits, an eviction might help, nothing helps, not asked. */
export type Verdict = '.' | 'u' | 'x' | '-'

export type Only = 'all' | 'fits' | 'rejected'

/** Which rows of the matrix are wanted. */
export interface Filter {
  only: Only
  text: string
  /** Only nodes that this predicate rejects. */
  rejectedBy?: number
  /** Only these nodes. */
  kept?: ReadonlySet<number>
}

/** A row of the matrix: one node, or all nodes with the same verdicts. */
export type Row = { pattern: number; nodes: number[]; open: boolean } | { node: number; within?: number }

export interface Sort { by: 'rank' | 'name' | 'total' | number; down: boolean }

export class Matrix {
  readonly isTree: boolean
  readonly fitting: number
  readonly selected: number
  private readonly reasonAt: (Int32Array | undefined)[]

  constructor(readonly of: Explanation) {
    this.isTree = of.priorities.some((priority) => priority.tolerance !== undefined)
    this.fitting = of.rank.reduce<number>((count, rank) => count + (rank === null ? 0 : 1), 0)
    this.selected = of.selected ? of.nodes.indexOf(of.selected) : -1
    this.reasonAt = new Array<Int32Array | undefined>(of.predicates.length)
  }

  verdict(predicate: number, node: number): Verdict {
    return (this.of.verdicts[predicate]?.[node] ?? '-') as Verdict
  }

  fits(node: number): boolean {
    return (this.of.rank[node] ?? null) !== null
  }

  /** Why a predicate rejects a node, in kube-scheduler's words. */
  reasons(predicate: number, node: number): string[] {
    let at = this.reasonAt[predicate]
    if (!at) {
      at = new Int32Array(this.of.nodes.length).fill(-1)
      let next = 0
      const verdicts = this.of.verdicts[predicate] ?? ''
      for (let i = 0; i < verdicts.length; i++) {
        if (verdicts[i] === 'u' || verdicts[i] === 'x') at[i] = this.of.why[predicate]?.[next++] ?? -1
      }
      this.reasonAt[predicate] = at
    }
    return this.of.reasons[at[node] ?? -1] ?? []
  }

  /** All reasons against a node, with the predicates that give them. */
  against(node: number): { predicate: PredicateColumn; verdict: Verdict; reasons: string[] }[] {
    return this.of.predicates.flatMap((predicate, p) => {
      const verdict = this.verdict(p, node)
      return verdict === 'u' || verdict === 'x' ? [{ predicate, verdict, reasons: this.reasons(p, node) }] : []
    })
  }

  /** Predicates that reject a node; the other columns say nothing. */
  telling(): number[] {
    return this.of.predicates.flatMap((predicate, p) => (predicate.rejected > 0 ? [p] : []))
  }

  /** Priorities by which nodes that fit differ. */
  differing(): number[] {
    return this.of.priorities.flatMap((_, k) => {
      const range = this.range(k)
      return range && range[0] !== range[1] ? [k] : []
    })
  }

  /** The lowest and the highest score of a priority over some nodes, or over all. */
  range(priority: number, nodes?: readonly number[]): [number, number] | undefined {
    const scores = this.of.scores[priority] ?? []
    let range: [number, number] | undefined
    const see = (score: number | null | undefined) => {
      if (score === null || score === undefined) return
      range = range ? [Math.min(range[0], score), Math.max(range[1], score)] : [score, score]
    }
    if (nodes) for (const node of nodes) see(scores[node])
    else for (const score of scores) see(score)
    return range
  }

  private wanted(filter: Filter): (node: number) => boolean {
    const text = filter.text.trim().toLowerCase()
    return (node) => {
      if (filter.kept && !filter.kept.has(node)) return false
      if (filter.only !== 'all' && this.fits(node) !== (filter.only === 'fits')) return false
      if (filter.rejectedBy !== undefined && !'ux'.includes(this.verdict(filter.rejectedBy, node))) return false
      return text === '' || (this.of.nodes[node] ?? '').toLowerCase().includes(text)
    }
  }

  /** One row for all nodes with the same verdicts; those in `open` are followed by their nodes. */
  byPattern(filter: Filter, open: ReadonlySet<number>): Row[] {
    const wanted = this.wanted(filter)
    return this.of.patterns.flatMap((pattern, index): Row[] => {
      const nodes = pattern.nodes.filter(wanted)
      if (nodes.length === 0) return []
      const isOpen = open.has(index)
      const rows: Row[] = [{ pattern: index, nodes, open: isOpen }]
      return isOpen ? rows.concat(nodes.map((node) => ({ node, within: index }))) : rows
    })
  }

  /** One row for each node. */
  byNode(filter: Filter, sort: Sort): Row[] {
    const wanted = this.wanted(filter)
    const nodes: number[] = []
    for (let node = 0; node < this.of.nodes.length; node++) if (wanted(node)) nodes.push(node)
    const key = this.key(sort.by)
    const way = sort.down ? -1 : 1
    nodes.sort((a, b) => {
      const [x, y] = [key(a), key(b)]
      // A node without a value is last either way; equal ones keep the order of names.
      if (x === null || y === null) return x === y ? a - b : x === null ? 1 : -1
      return x === y ? a - b : way * (x - y)
    })
    return nodes.map((node) => ({ node }))
  }

  private key(by: Sort['by']): (node: number) => number | null {
    if (by === 'name') return (node) => node
    if (by === 'rank') return (node) => this.of.rank[node] ?? null
    if (by === 'total') return (node) => (this.fits(node) ? (this.of.total[node] ?? null) : null)
    return (node) => this.of.scores[by]?.[node] ?? null
  }
}

/** The share of one priority in the difference between two nodes. */
export interface Share { priority: PriorityColumn; a: number; b: number; points: number }

/** Each priority by how far it puts node `a` before node `b`; under a tree in the order of levels, else the largest first. */
export function difference(matrix: Matrix, a: number, b: number): Share[] {
  const shares = matrix.of.priorities.flatMap((priority, k): Share[] => {
    const [x, y] = [matrix.of.scores[k]?.[a] ?? null, matrix.of.scores[k]?.[b] ?? null]
    return x === null || y === null ? [] : [{ priority, a: x, b: y, points: priority.weight * (x - y) }]
  })
  return matrix.isTree ? shares : shares.sort((x, y) => Math.abs(y.points) - Math.abs(x.points))
}
