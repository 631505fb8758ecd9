from django.urls import path

from knowledge import views

app_name = "knowledge"
urlpatterns = [
    path("knowledge/", views.search, name="search"),
    path("knowledge/for-ticket/<int:number>/", views.for_ticket, name="for_ticket"),
    path("knowledge/pick/", views.pick, name="pick"),
    path("knowledge/<slug:slug>/", views.article, name="article"),
]
