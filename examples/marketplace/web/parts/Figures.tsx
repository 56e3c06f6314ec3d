/** A few figures that matter, large. */
export function Figures({ items }: { items: readonly (readonly [name: string, value: string])[] }) {
  return (
    <dl className="figures">
      {items.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}
