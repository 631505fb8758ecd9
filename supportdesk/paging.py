"""Pages of the API's lists. Apart from `supportdesk.api`, which the framework cannot import so early."""

from rest_framework import pagination


class Pages(pagination.PageNumberPagination):
    """`?page=2&page_size=100`, 25 a page, 200 at most."""

    page_size = 25
    page_size_query_param = "page_size"
    max_page_size = 200
