from django.urls import path

from tickets import views

app_name = "tickets"
urlpatterns = [
    path("tickets/", views.queue, name="queue"),
    path("tickets/rows/", views.rows, name="rows"),
    path("tickets/new/", views.new, name="new"),
    path("tickets/<int:number>/", views.detail, name="detail"),
    path("tickets/<int:number>/changes/", views.changes, name="changes"),
    path("tickets/<int:number>/say/", views.say, name="say"),
    path("tickets/<int:number>/take/", views.take, name="take"),
    path("tickets/<int:number>/assign/", views.assign, name="assign"),
    path("tickets/<int:number>/priority/", views.priority, name="priority"),
    path("tickets/<int:number>/status/", views.status, name="status"),
    path("tickets/<int:number>/category/", views.category, name="category"),
    path("tickets/<int:number>/subject/", views.subject, name="subject"),
    path("tickets/<int:number>/restrict/", views.restrict, name="restrict"),
    path("tickets/<int:number>/escalate/", views.escalate, name="escalate"),
    path("tickets/<int:number>/watch/", views.watch, name="watch"),
    path("tickets/<int:number>/files/<int:pk>/", views.attachment, name="attachment"),
    path("tickets/<int:number>/mail/<int:pk>/", views.raw_mail, name="raw_mail"),
    path("mail/outgoing/", views.outgoing, name="outgoing"),
]
