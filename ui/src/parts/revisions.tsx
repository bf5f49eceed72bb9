/** Revisions of a policy, and the way back to one. */
import type { JSX } from 'preact'
import { useState } from 'preact/hooks'
import { ApiError, call, useCall } from '../api'
import { count, utc } from '../format'
import type { PolicyState, Revision } from '../models/policy'
import { texts } from '../texts'
import { Await, Note, Problem } from './states'

export function Revisions(props: { path: string; state: PolicyState; onText: (text: string) => void; again: () => void }): JSX.Element {
  const { path, state } = props
  const [before, setBefore] = useState<number>()
  const [told, setTold] = useState<{ error?: ApiError; done?: string }>()
  const [sure, setSure] = useState<number>()
  const list = useCall<{ items: Revision[]; remaining: number }>(`${path} ${state.revision} ${before ?? ''}`, (signal) =>
    call(`${path}/revisions`, { query: { before, limit: 50 }, signal }),
  )
  const rollBack = async (revision: number) => {
    setSure(undefined)
    try {
      const now = await call<PolicyState>(`${path}/rollback`, { body: { revision } })
      setTold({ done: texts.policy.done(count(now.revision)) })
      props.again()
    } catch (error) {
      if (error instanceof ApiError) setTold({ error })
    }
  }
  return (
    <>
      {told?.error && <Problem error={told.error} />}
      {told?.done && <Note>{told.done}</Note>}
      <Await of={list}>
        {({ items, remaining }) =>
          items.length === 0 ? (
            <Note>{texts.policy.noRevisions}</Note>
          ) : (
            <div class="wide">
              <table>
                <thead>
                  <tr>
                    <th scope="col" class="number">{texts.policy.revision}</th>
                    <th scope="col">{texts.policy.since}</th>
                    <th scope="col">{texts.policy.acts}</th>
                  </tr>
                </thead>
                <tbody>
                  {items.map(({ revision, createdAt, rollbackTo, text }) => (
                    <tr key={revision}>
                      <th scope="row" class="number">{count(revision)}</th>
                      <td>
                        <time dateTime={createdAt}>{utc(createdAt)}</time>
                        {rollbackTo !== undefined && ` (${texts.policy.rolledBack(count(rollbackTo))})`}
                      </td>
                      <td>
                        {revision === state.revision ? (
                          <strong>{texts.policy.isInForce}</strong>
                        ) : (
                          <>
                            <button type="button" onClick={() => props.onText(text)}>{texts.policy.load}</button>{' '}
                            {sure === revision ? (
                              <button type="button" class="main" onClick={() => void rollBack(revision)}>{texts.policy.really(count(revision))}</button>
                            ) : (
                              <button type="button" onClick={() => setSure(revision)}>{texts.policy.rollBack}</button>
                            )}
                          </>
                        )}
                      </td>
                    </tr>
                  ))}
                </tbody>
              </table>
              {remaining > 0 && <button type="button" onClick={() => setBefore(items[items.length - 1]?.revision)}>{texts.policy.older(count(remaining))}</button>}
              {before !== undefined && <button type="button" onClick={() => setBefore(undefined)}>{texts.policy.newest}</button>}
            </div>
          )
        }
      </Await>
    </>
  )
}
