import { useId, type ReactNode } from 'react'
import { usePortal } from '../lib/portal.ts'

/** What a control takes from its field: a name that its label has, and what describes it. */
export interface ControlProps {
  readonly id: string
  readonly 'aria-describedby': string | undefined
  readonly 'aria-invalid': true | undefined
}

/** A control with its label, a hint, and what is wrong with it. */
export function Field({
  label,
  hint,
  error,
  optional,
  children,
}: {
  label: string
  hint?: string | undefined
  error?: string | undefined
  optional?: boolean
  children: (control: ControlProps) => ReactNode
}) {
  const { texts } = usePortal()
  const id = useId()
  const described = [hint !== undefined && `${id}-hint`, error !== undefined && `${id}-error`].filter(Boolean).join(' ')
  return (
    <div className="field">
      <label htmlFor={id}>
        {label}
        {optional && <span className="quiet"> ({texts.optional})</span>}
      </label>
      {children({
        id,
        'aria-describedby': described === '' ? undefined : described,
        'aria-invalid': error === undefined ? undefined : true,
      })}
      {hint !== undefined && (
        <p id={`${id}-hint`} className="hint">
          {hint}
        </p>
      )}
      {error !== undefined && (
        <p id={`${id}-error`} className="error">
          {error}
        </p>
      )}
    </div>
  )
}
