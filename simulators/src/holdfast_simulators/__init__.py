"""Programs that stand around the product: charge points, a wide-area link, and a judge."""
