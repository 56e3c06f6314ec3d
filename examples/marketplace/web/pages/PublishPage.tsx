import { usePortal } from '../lib/portal.ts'
import { go } from '../lib/route.ts'
import { Page } from '../parts/Page.tsx'
import { ProductForm } from './ProductForm.tsx'

/** Publishes a product. */
export function PublishPage() {
  const { texts, market } = usePortal()
  return (
    <Page title={texts.form.publishTitle} intro={texts.form.publishIntro}>
      <ProductForm
        submit={async (product) => {
          const { productId } = await market.createProduct(product)
          go(productId === undefined ? 'products' : `product/${productId}`)
        }}
      />
    </Page>
  )
}
