import { usePortal } from '../lib/portal.ts'
import { go } from '../lib/route.ts'
import { useLoad } from '../lib/useLoad.ts'
import { Loaded, Skeleton } from '../parts/Loaded.tsx'
import { Page } from '../parts/Page.tsx'
import { ProductForm } from './ProductForm.tsx'

/** Proposes a change of a product. */
export function ChangePage({ id }: { id: number }) {
  const { texts, market } = usePortal()
  const load = useLoad(() => market.product(id), [id])
  return (
    <Page title={texts.form.changeTitle} intro={texts.form.changeIntro}>
      <Loaded of={load} skeleton={<Skeleton lines={14} />}>
        {(product) => (
          <ProductForm
            product={product}
            submit={async ({ shareStatus: _, voteThreshold: __, ...change }) => {
              const { voteId } = await market.updateProduct(id, change)
              go(voteId === null ? `product/${id}` : `vote/${voteId}`)
            }}
          />
        )}
      </Loaded>
    </Page>
  )
}
