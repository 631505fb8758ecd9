from django.urls import path

from tickets.views import promises
from tickets.views import tickets as views

app_name = "tickets"
urlpatterns = [
    path("tickets/", views.queue, name="queue"),
    path("tickets/rows/", views.rows, name="rows"),
    path("tickets/take-next/", views.take_next, name="take_next"),
    path("tickets/new/", views.new, name="new"),
    path("tickets/<int:number>/", views.detail, name="detail"),
    path("tickets/<int:number>/clocks/", views.clocks, name="clocks"),
    path("tickets/<int:number>/changes/", views.changes, name="changes"),
    path("tickets/<int:number>/say/", views.say, name="say"),
    path("tickets/<int:number>/take/", views.take, name="take"),
    path("tickets/<int:number>/assign/", views.assign, name="assign"),
    path("tickets/<int:number>/priority/", views.priority, name="priority"),
    path("tickets/<int:number>/status/", views.status, name="status"),
    path("tickets/<int:number>/category/", views.category, name="category"),
    path("tickets/<int:number>/tags/", views.tags, name="tags"),
    path("tickets/<int:number>/subject/", views.subject, name="subject"),
    path("tickets/<int:number>/restrict/", views.restrict, name="restrict"),
    path("tickets/<int:number>/escalate/", views.escalate, name="escalate"),
    path("tickets/<int:number>/merge/", views.merge, name="merge"),
    path("tickets/<int:number>/unmerge/", views.unmerge, name="unmerge"),
    path("tickets/<int:number>/split/", views.split, name="split"),
    path("tickets/<int:number>/watch/", views.watch, name="watch"),
    path("tickets/<int:number>/files/<int:pk>/", views.attachment, name="attachment"),
    path("tickets/<int:number>/mail/<int:pk>/", views.raw_mail, name="raw_mail"),
    path("settings/promises/", promises.index, name="promises"),
    path("settings/promises/pauses/", promises.pauses, name="pauses"),
    path("settings/promises/policies/new/", promises.policy, name="new_policy"),
    path("settings/promises/policies/<int:pk>/", promises.policy, name="policy"),
    path("settings/promises/policies/<int:pk>/delete/", promises.delete_policy, name="delete_policy"),
    path("settings/calendars/new/", promises.calendar, name="new_calendar"),
    path("settings/calendars/<slug:slug>/", promises.calendar, name="calendar"),
    path("jobs/<int:pk>/", promises.job, name="job"),
    path("mail/outgoing/", views.outgoing, name="outgoing"),
]
